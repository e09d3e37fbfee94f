/**
 * A libp2p peer of another language as a process: built once for its sources, outside of the work tree, when the machine
 * has the language. It prints its address and answers lines of JSON (go/main.go and rust/src/main.rs say which).
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { orAbort } from '../../kernel/index.ts'

const BUILD_TIMEOUT_MS = 300_000

export interface Language {
  readonly name: string
  /** Whether it names the muxer inside the handshake. */
  readonly isEarly: boolean
  /** Where its compiler is besides PATH. */
  readonly folders: readonly string[]
  readonly compiler: string
  /** Sources, relative to test/interop. */
  readonly sources: readonly string[]
  /** What builds `binary`, in a copy of its sources; the compiler's own caches are its affair. */
  readonly args: (binary: string) => readonly string[]
  /** Where it is then, in that copy; default: `binary`. */
  readonly built?: string
}

export const go: Language = {
  name: 'go',
  isEarly: true,
  folders: ['/usr/local/go/bin'],
  compiler: 'go',
  sources: ['go/*.go', 'go/go.mod', 'go/go.sum'],
  args: (binary) => ['build', '-trimpath', '-buildvcs=false', '-o', binary, '.'],
}

/** Some 75 s of one processor, where nothing is cached. Without a lock file: one would name a registry. */
export const rust: Language = {
  name: 'rust',
  isEarly: false,
  folders: [join(homedir(), '.cargo/bin'), '/usr/local/cargo/bin'],
  compiler: 'cargo',
  sources: ['rust/Cargo.toml', 'rust/src/*.rs'],
  args: () => ['build', '--quiet', '--target-dir', 'target'],
  built: 'target/debug/nz-test-rust',
}

type Built = { readonly binary: string } | { readonly why: string }
const peers = new Map<Language, Built>()

/** The path of the built peer, or why there is none. */
export function buildPeer(language: Language): Built {
  const known = peers.get(language) ?? make(language)
  peers.set(language, known)
  return known
}

function make(language: Language): Built {
  const compiler = compilerOf(language)
  if (compiler === null) return { why: `${language.compiler} is not installed` }
  const files = language.sources.flatMap((pattern) => globSync(pattern, { cwd: import.meta.dirname })).toSorted()
  const digest = createHash('sha256')
  for (const file of files) digest.update(`${file}\n`).update(readFileSync(join(import.meta.dirname, file)))
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'nzcore-interop')
  const binary = join(cache, `${language.name}-${digest.digest('hex').slice(0, 24)}`)
  if (existsSync(binary)) return { binary }
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  // Never in the tree: a compiler leaves files behind.
  const copy = mkdtempSync(join(cache, `${language.name}-`))
  try {
    for (const file of files) cpSync(join(import.meta.dirname, file), join(copy, file))
    const made = join(copy, 'made')
    const cwd = join(copy, language.name)
    const done = spawnSync(compiler, language.args(made), { cwd, encoding: 'utf8', timeout: BUILD_TIMEOUT_MS })
    if (done.status !== 0) return { why: `${language.name} does not build it: ${tellOf(done)}` }
    renameSync(language.built === undefined ? made : join(cwd, language.built), binary)
    return { binary }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function tellOf({ error, stderr }: { readonly error?: Error | undefined; readonly stderr: string }): string {
  return error?.message ?? stderr.trim().split('\n').slice(-2).join(' · ')
}

function compilerOf({ folders, compiler }: Language): string | null {
  const places = [...folders, ...(process.env['PATH'] ?? '').split(delimiter)].map((folder) => join(folder, compiler))
  return places.find((place) => existsSync(place)) ?? null
}

export interface Task {
  /** `alone`: waits until nobody is connected. */
  readonly do: 'identify' | 'ping' | 'echo' | 'streams' | 'reset' | 'close' | 'alone'
  readonly address: string
  readonly bytes?: number
  readonly streams?: number
}

export interface Answer {
  readonly ok: boolean
  readonly why?: string
  readonly agent?: string
}

export interface ForeignPeer extends Disposable {
  readonly address: string
  ask(task: Task, options: { readonly signal: AbortSignal }): Promise<Answer>
}

export async function startPeer(binary: string): Promise<ForeignPeer> {
  const child = spawn(binary, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the peer has ended')
    return JSON.parse(String(value))
  }
  const { address } = (await next()) as { address: string }
  return {
    address,
    async ask(task, { signal }) {
      child.stdin.write(`${JSON.stringify(task)}\n`)
      return (await orAbort(next(), signal)) as Answer
    },
    [Symbol.dispose]: () => void child.kill(),
  }
}
