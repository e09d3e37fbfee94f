/** A command that takes an archive on its standard input: a list of words, never a shell's line. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { deadline } from '../../kernel/index.ts'
import { backupErrors } from './service.ts'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../../kernel/index.ts'
import type { Target } from './target.ts'

/** What a command says on its standard error is kept up to here, its end. */
const MAX_STDERR_BYTES = 4_096
/** How long it has between being told to end and being killed. */
const KILL_AFTER_MS = 5_000
/** How long after its end what it said may still arrive. */
const LAST_WORDS_MS = 200
/** In the words: the name of the archive. */
const NAME = '{name}'

export interface CommandTargetInit {
  readonly command: readonly string[]
  readonly timeoutMs: number
  readonly clock: Clock
  readonly env: Readonly<Record<string, string | undefined>>
  /** Breaks a write off, and ends the command. */
  readonly signal: AbortSignal
}

export class CommandTarget implements Target {
  readonly kind = 'command'
  readonly #init: CommandTargetInit

  constructor(init: CommandTargetInit) {
    this.#init = init
  }

  async write<T>(name: string, produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<T>): Promise<T> {
    const { command, timeoutMs, clock, env, signal } = this.#init
    const [program = '', ...words] = command.map((word) => word.replaceAll(NAME, name))
    using limit = deadline(clock, timeoutMs, {
      reason: () => backupErrors.NZ_BACKUP_TARGET_LATE({ data: { program } }),
      signal,
    })
    limit.signal.throwIfAborted()
    const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'pipe'], env: environmentOf(env, name) })
    const ending = new Ending(child, program, clock)
    try {
      const result = await produce(async (bytes) => await ending.write(bytes, limit.signal))
      child.stdin.end()
      await ending.success(limit.signal)
      return result
    } catch (error) {
      await ending.stop()
      throw error
    }
  }

  async remove(): Promise<void> {
    await Promise.resolve()
  }

  async has(): Promise<boolean> {
    return await Promise.resolve(true)
  }
}

/** Follows one run of the command to its end. */
class Ending {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>
  readonly #program: string
  readonly #clock: Clock
  readonly #ended: Promise<{ readonly code: number | null; readonly error: Error | null }>
  #said = Buffer.alloc(0)
  #isOver = false

  constructor(child: ChildProcessByStdio<Writable, null, Readable>, program: string, clock: Clock) {
    this.#child = child
    this.#program = program
    this.#clock = clock
    child.stderr.on('data', (bytes: Buffer) => {
      this.#said = Buffer.concat([this.#said, bytes]).subarray(-MAX_STDERR_BYTES)
    })
    // A command that ends early closes its input; its exit code says why.
    child.stdin.on('error', () => undefined)
    const { promise, resolve } = Promise.withResolvers<{ code: number | null; error: Error | null }>()
    child.once('error', (error) => resolve({ code: null, error }))
    child.once('close', (code) => resolve({ code, error: null }))
    // A grandchild may hold the standard error open for ever.
    child.once('exit', (code) => void clock.setTimer(LAST_WORDS_MS, () => resolve({ code, error: null })))
    this.#ended = promise.then((end) => {
      this.#isOver = true
      return end
    })
  }

  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#isClosed) throw await this.#early(signal)
    if (this.#child.stdin.write(bytes)) return
    const stop = new AbortController()
    const drained = once(this.#child.stdin, 'drain', { signal: AbortSignal.any([signal, stop.signal]) })
    try {
      await Promise.race([drained, once(this.#child.stdin, 'close', { signal: stop.signal })])
    } catch (error) {
      signal.throwIfAborted()
      if (!this.#isClosed) throw error
    } finally {
      stop.abort()
      drained.catch(() => undefined)
    }
    if (this.#isClosed) throw await this.#early(signal)
  }

  get #isClosed(): boolean {
    return this.#isOver || this.#child.stdin.destroyed
  }

  /** Its input was closed before everything was written. */
  async #early(signal: AbortSignal): Promise<Error> {
    await this.success(signal)
    return backupErrors.NZ_BACKUP_TARGET_FAILED({ why: 'it did not read to the end', data: { program: this.#program } })
  }

  /** Resolves when the command has ended with 0. */
  async success(signal: AbortSignal): Promise<void> {
    const cut = Promise.withResolvers<never>()
    const onAbort = (): void => cut.reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      signal.throwIfAborted()
      const { code } = await Promise.race([this.#ended, cut.promise])
      if (code !== 0) throw await this.#failure()
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Tells the command to end, then kills it. */
  async stop(): Promise<void> {
    // Before its input ends: it would take a half archive for a whole one.
    if (!this.#isOver) this.#child.kill('SIGTERM')
    this.#child.stdin.destroy()
    if (this.#isOver) return
    const timer = this.#clock.setTimer(KILL_AFTER_MS, () => void this.#child.kill('SIGKILL'))
    await this.#ended
    timer.cancel()
  }

  async #failure(): Promise<Error> {
    const { code, error } = await this.#ended
    const why = error === null ? `it ended with ${code ?? 'a signal'}` : 'it cannot be started'
    const said = this.#said.toString('utf8').trim()
    const data = { program: this.#program, ...(said === '' ? {} : { said }) }
    return backupErrors.NZ_BACKUP_TARGET_FAILED({ why, ...(error === null ? {} : { cause: error }), data })
  }
}

/** The daemon's environment without what opens its keystore. */
function environmentOf(env: CommandTargetInit['env'], name: string): NodeJS.ProcessEnv {
  const { NZ_PASSPHRASE_FILE: _file, NZ_PASSPHRASE_FD: _fd, NZ_WORDS_FILE: _words, ...rest } = env
  return { ...rest, NZ_BACKUP_NAME: name }
}
