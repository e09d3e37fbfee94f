/** Where figures were taken: without it they say nothing. */
import { spawnSync } from 'node:child_process'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { resolve } from 'node:path'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryMb: number
  readonly system: string
  readonly node: string
  /** Processes that wanted a core, on average over the last minute; the bench itself accounts for about one and a half. */
  readonly load: number
  /** `null` outside of a git checkout; ends in `+` when files differ from the commit. */
  readonly commit: string | null
}

export function thisMachine(): Machine {
  const [first, ...others] = cpus()
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: others.length + 1,
    memoryMb: Math.round(totalmem() / 1_000_000),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.versions.node,
    load: Number((loadavg()[0] ?? 0).toFixed(1)),
    commit: commitOf(resolve(import.meta.dirname, '..')),
  }
}

function commitOf(folder: string): string | null {
  const git = (...args: string[]): string | null => {
    const done = spawnSync('git', args, { cwd: folder, encoding: 'utf8' })
    return done.status === 0 ? done.stdout.trim() : null
  }
  const commit = git('rev-parse', '--short=12', 'HEAD')
  return commit === null ? null : `${commit}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`
}
