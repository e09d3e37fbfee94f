/** The commands a test network is made of: `ip`, `nft`, and programs inside a namespace. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'

const COMMAND_TIMEOUT_MS = 30_000

/** What it printed. @throws with the words of the command when it fails */
export function run(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    timeout: COMMAND_TIMEOUT_MS,
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  })
  if (status === 0) return stdout
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}${input === '' ? '' : `\n${input}`}`)
}

/** Lines of `ip -batch`, in one namespace. */
export function ipIn(namespace: string, lines: readonly string[]): void {
  if (lines.length > 0) run('ip', ['-netns', namespace, '-batch', '-'], `${lines.join('\n')}\n`)
}

export function runIn(namespace: string, command: string, args: readonly string[], input = ''): string {
  return run('ip', ['netns', 'exec', namespace, command, ...args], input)
}

/** The pid is that of the program itself: `ip netns exec` becomes it. */
export function spawnIn(
  namespace: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  const env = { ...(options.env ?? process.env), PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }
  return spawn('ip', ['netns', 'exec', namespace, command, ...args], { ...options, env })
}

/** Whether the machine has the program. */
export function hasProgram(name: string): boolean {
  try {
    run('sh', ['-c', `command -v ${name}`])
    return true
  } catch {
    return false
  }
}

/** Why no test network can be made here; `null` when one can. */
export function whyNoLab(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const program of ['ip', 'nft']) if (!hasProgram(program)) return `the program ${program} is not installed`
  const name = `nzlab-${process.pid}-try`
  try {
    run('ip', ['netns', 'add', name])
  } catch (error) {
    return `network namespaces are not permitted here: ${error instanceof Error ? error.message : String(error)}`
  }
  try {
    ipIn(name, ['link add br0 type bridge', 'link add v0 type veth peer name v1'])
    runIn(name, 'nft', ['-f', '-'], 'table ip t { chain c { type nat hook postrouting priority 100; masquerade; }; }')
    return null
  } catch (error) {
    return `bridges, veth or nft NAT are not there: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    run('ip', ['netns', 'del', name])
  }
}
