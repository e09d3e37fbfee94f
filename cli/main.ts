/** The process around the command line: standard streams, signals and the exit code. */
import { systemClock } from '../kernel/index.ts'
import { cliErrors } from './errors.ts'
import { invoke } from './invoke.ts'
import { trimHttp } from './trim-http.ts'

/** How long a command may take to clean up after Ctrl-C; a node in the foreground bounds its own stop below it. */
const INTERRUPT_TIMEOUT_MS = 12_000

/** Runs `nzcore` with this process's arguments and ends the process. */
export async function run(): Promise<void> {
  const controller = new AbortController()
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(cliErrors.NZ_CLI_INTERRUPTED())
    systemClock.setTimer(INTERRUPT_TIMEOUT_MS, () => process.exit(130), { unref: true })
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      controller.abort(cliErrors.NZ_CLI_OUTPUT_CLOSED())
    })
  }
  const code = await invoke({
    argv: process.argv.slice(2),
    env: process.env,
    signal: controller.signal,
    interrupt,
    stdout: process.stdout,
    stderr: process.stderr,
    isStdinTty: process.stdin.isTTY,
    keyboard: () => process.stdin,
    stdin: () => process.stdin,
    nowMs: () => systemClock.nowMs(),
    connect: async ({ socketPath }) => {
      trimHttp()
      const { createClient } = await import('../sdk/client.ts')
      return createClient({ socketPath })
    },
    offline: async (context, options) => {
      const { openOffline } = await import('./offline.ts')
      return await openOffline(context, options)
    },
  })
  await flush(process.stdout)
  process.exit(code)
}

/** What was written to a pipe may still be on its way. */
async function flush(stream: NodeJS.WriteStream): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.write('', () => resolve())
  await promise
}
