/** The C++ tests' compiler: sources once for each sanitizer, programs linked from them, all in a temporary folder. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const folder = join(root, 'native')
const FLAGS = ['-std=c++20', '-g', '-O1', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Werror']

export type Sanitizer = 'address,undefined' | 'thread'

export interface Ran {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly text: string
}

export interface RunOptions {
  readonly timeoutMs?: number
  /** Besides those of this process; `undefined` leaves one out. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

export async function run(
  command: string,
  words: readonly string[],
  { timeoutMs = 300_000, env = {}, cwd }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(command, words, {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  })
  let text = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (chunk: Buffer) => (text = `${text}${chunk.toString()}`.slice(-20_000)))
  return await new Promise((settle) => {
    child.on('error', (error) => settle({ status: -1, signal: null, text: error.message }))
    child.on('close', (status, signal) => settle({ status, signal, text }))
  })
}

export class Toolchain implements AsyncDisposable {
  readonly compiler: string
  readonly #headers: string
  readonly #library: string
  readonly #into = mkdtempSync(join(tmpdir(), 'nz-native-'))
  readonly #objects = new Map<string, Promise<string>>()

  constructor(compiler: string, headers: string, library: string) {
    this.compiler = compiler
    this.#headers = headers
    this.#library = library
  }

  /** A toolchain, or why there is none. */
  static async find(compiler = 'g++'): Promise<Toolchain | string> {
    if (process.platform !== 'linux') return `the native session is made for Linux, this is ${process.platform}`
    if ((await run(compiler, ['--version'])).status !== 0) return `no compiler: ${compiler}`
    const headers = [join(root, `node_modules/node-linux-${process.arch}`), dirname(dirname(process.execPath))]
      .map((place) => join(place, 'include/node'))
      .find((place) => existsSync(join(place, 'openssl/evp.h')))
    if (headers === undefined) return 'no OpenSSL headers come with this Node'
    for (const library of ['-lcrypto', '-l:libcrypto.so.3']) {
      const linked = await run(compiler, ['-shared', '-o', '/dev/null', library])
      if (linked.status === 0) return new Toolchain(compiler, headers, library)
    }
    return 'no libcrypto to link with'
  }

  /** Why the compiler cannot use a part of its runtime (`fuzzer`, `thread`, …), which may be a package of its own. */
  async missing(runtime: string): Promise<string | null> {
    const source = join(this.#into, 'empty.cc')
    writeFileSync(source, 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }\n')
    const { status } = await run(this.compiler, [
      `-fsanitize=${runtime}`,
      '-shared',
      '-fPIC',
      '-o',
      '/dev/null',
      source,
    ])
    return status === 0 ? null : `${this.compiler} has no runtime for -fsanitize=${runtime}`
  }

  /** A program from native/src (without the binding) and the named files of native/test. */
  async build(
    name: string,
    files: readonly string[],
    sanitizer: Sanitizer,
    { compile = [], link = [] }: { readonly compile?: readonly string[]; readonly link?: readonly string[] } = {},
  ): Promise<string> {
    const sources = readdirSync(join(folder, 'src')).filter(
      (file) => file.endsWith('.cc') && !file.startsWith('binding'),
    )
    const paths = [
      ...sources.map((file) => join(folder, 'src', file)),
      ...files.map((file) => join(folder, 'test', file)),
    ]
    const objects = await this.#compile(paths, sanitizer, compile)
    const program = join(this.#into, `${name}-${sanitizer.replace(',', '-')}`)
    await this.#must([`-fsanitize=${sanitizer}`, ...link, '-o', program, ...objects, this.#library, '-lpthread'])
    return program
  }

  /** The addon as Node loads it. */
  async buildAddon(target: string, sanitizer: Sanitizer): Promise<void> {
    const names = readdirSync(join(folder, 'src')).filter((file) => file.endsWith('.cc'))
    const paths = names.map((file) => join(folder, 'src', file))
    const objects = await this.#compile(paths, sanitizer, ['-fPIC'])
    // OpenSSL is the one inside Node.
    await this.#must([`-fsanitize=${sanitizer}`, '-shared', '-o', target, ...objects, '-lpthread'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#into, { recursive: true, force: true })
  }

  async #compile(paths: readonly string[], sanitizer: Sanitizer, extra: readonly string[]): Promise<readonly string[]> {
    const waiting = [...paths]
    const work = async (): Promise<void> => {
      for (let path = waiting.pop(); path !== undefined; path = waiting.pop())
        await this.#object(path, sanitizer, extra)
    }
    await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work))
    return await Promise.all(paths.map(async (path) => await this.#object(path, sanitizer, extra)))
  }

  async #object(path: string, sanitizer: Sanitizer, extra: readonly string[]): Promise<string> {
    const key = `${sanitizer.replace(',', '-')}-${extra.join('')}-${basename(path)}`.replaceAll(/[^\w.-]/g, '')
    const known = this.#objects.get(key)
    if (known !== undefined) return await known
    const object = join(this.#into, `${key}.o`)
    const words = [...FLAGS, `-fsanitize=${sanitizer}`, '-fno-sanitize-recover=all', ...extra]
    const places = ['-isystem', this.#headers, '-I', join(folder, 'src'), '-I', join(folder, 'test')]
    const made = this.#must([...words, ...places, '-c', path, '-o', object]).then(() => object)
    this.#objects.set(key, made)
    return await made
  }

  async #must(words: readonly string[]): Promise<void> {
    const { status, text } = await run(this.compiler, words)
    if (status !== 0) throw new Error(`${this.compiler} ${words.at(-1) ?? ''}: ${text}`)
  }
}
