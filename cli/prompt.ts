/** Questions to the person at the terminal, on stderr so that stdout stays clean. */
import { cliErrors } from './errors.ts'
import { printable } from './text.ts'
import type { Prompt } from './command.ts'
import type { Terminal } from './output.ts'

/** What of process.stdin the prompt needs. */
export interface Keyboard {
  readonly isTTY?: boolean
  setRawMode?(isRaw: boolean): unknown
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  off(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  resume(): unknown
  pause(): unknown
}

export interface PromptInit {
  /** Called on the first question only: touching process.stdin has effects. */
  readonly stdin: () => Keyboard
  readonly isStdinTty: boolean
  readonly stderr: Terminal
  readonly signal: AbortSignal
  /** Ctrl-C while the terminal is in raw mode. */
  readonly interrupt: () => void
}

/** The longest answer, in bytes. */
export const MAX_ANSWER_BYTES = 4_096

const CTRL_C = 0x03
const CTRL_D = 0x04
const BACKSPACE = 0x08
const CTRL_U = 0x15
const ESCAPE = 0x1b
const DELETE = 0x7f

export function createPrompt({ stdin, isStdinTty, stderr, signal, interrupt }: PromptInit): Prompt {
  const isAvailable = isStdinTty && stderr.isTTY === true

  async function ask(question: string, isEchoed: boolean): Promise<Uint8Array> {
    if (!isAvailable) throw cliErrors.NZ_CLI_NO_TTY({ why: `it would have asked: ${question.trim()}` })
    signal.throwIfAborted()
    try {
      const onReady = (): void => void stderr.write(printable(question))
      return await readLine(stdin(), { echo: isEchoed ? stderr : null, onReady, signal, interrupt })
    } finally {
      stderr.write('\n')
    }
  }

  return {
    isAvailable,
    async confirm(question, { default: assumed } = {}) {
      const choices = assumed === undefined ? '[y/n]' : assumed ? '[Y/n]' : '[y/N]'
      for (;;) {
        const answer = text(await ask(`${question} ${choices} `, true)).toLowerCase()
        if (answer === 'y' || answer === 'yes') return true
        if (answer === 'n' || answer === 'no') return false
        if (answer === '' && assumed !== undefined) return assumed
      }
    },
    line: async (question) => text(await ask(`${question} `, true)),
    secret: async (question) => await ask(`${question} `, false),
  }
}

interface LineInit {
  readonly echo: Terminal | null
  /** Runs when the terminal no longer echoes by itself: an answer to what it prints is read, never shown. */
  readonly onReady: () => void
  readonly signal: AbortSignal
  readonly interrupt: () => void
}

/** Reads one line byte by byte in raw mode; what was typed stays in one buffer, which is zeroed unless returned. */
async function readLine(keyboard: Keyboard, { echo, onReady, signal, interrupt }: LineInit): Promise<Uint8Array> {
  const typed = new Uint8Array(MAX_ANSWER_BYTES)
  let length = 0
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const erase = (): void => {
    if (length === 0) return
    do length -= 1
    while (length > 0 && ((typed[length] ?? 0) & 0xc0) === 0x80)
    typed[length] = 0
    echo?.write('\b \b')
  }
  const onKey = (byte: number): void => {
    if (byte === CTRL_C) interrupt()
    else if (byte === 0x0d || byte === 0x0a || byte === CTRL_D) resolve(typed.slice(0, length))
    else if (byte === DELETE || byte === BACKSPACE) erase()
    else if (byte === CTRL_U) while (length > 0) erase()
    else if (byte >= 0x20 && length < MAX_ANSWER_BYTES) {
      typed[length] = byte
      length += 1
      echo?.write(Uint8Array.of(byte))
    }
  }
  const onData = (bytes: Uint8Array): void => {
    // An arrow or function key arrives as one escape sequence; it is no text.
    if (bytes[0] !== ESCAPE) for (const byte of bytes) onKey(byte)
    bytes.fill(0)
  }
  const onAbort = (): void => reject(signal.reason as Error)
  keyboard.setRawMode?.(true)
  keyboard.on('data', onData)
  signal.addEventListener('abort', onAbort, { once: true })
  keyboard.resume()
  onReady()
  try {
    return await promise
  } finally {
    keyboard.off('data', onData)
    signal.removeEventListener('abort', onAbort)
    keyboard.pause()
    keyboard.setRawMode?.(false)
    typed.fill(0)
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).trim()
}
