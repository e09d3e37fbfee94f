/** The flags Node runs a node under, in the background and in the foreground. */

/**
 * A small young generation (MiB) frees the buffers of a busy node early. 1 GiB each way, small and as Node has it: peak
 * 147 and 218 MB, 9.9 and 14.7 s of processor; 2 and 4 MiB cost 11 and 27 MB of peak and gain no time.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=1']

export type ReplaceableProcess = Pick<NodeJS.Process, 'argv' | 'env' | 'execArgv' | 'execPath' | 'execve' | 'platform'>

/**
 * Puts the same program under these flags in the place of this process, which keeps its id, its terminal and its
 * standard streams. Returns when there is nothing to do or no way to do it: the flag was set to something, the system
 * is Windows, or a passphrase waits in a descriptor that would be closed.
 */
export function restartUnderFlags(process: ReplaceableProcess): void {
  const { argv, env, execArgv, execPath, execve, platform } = process
  const isChosen = [...execArgv, env['NODE_OPTIONS'] ?? ''].some((text) => /--max[-_]semi[-_]space[-_]size/.test(text))
  if (isChosen || execve === undefined || platform === 'win32' || env['NZ_PASSPHRASE_FD'] !== undefined) return
  execve.call(process, execPath, [execPath, ...execArgv, ...NODE_FLAGS, ...argv.slice(1)], env)
}
