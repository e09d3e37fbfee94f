/** Where commands write: documents or text on stdout, notes and progress on stderr. */
import { once } from 'node:events'
import { filledSteps } from '../kernel/index.ts'
import { printable } from './text.ts'
import type { Output } from './command.ts'
import type { ErrorDocument } from '../kernel/index.ts'

/** What of a stream the output needs: process.stdout and process.stderr, or a fake in tests. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write(chunk: string | Uint8Array): boolean
  once(event: string, listener: (...args: unknown[]) => void): unknown
}

export interface OutputInit {
  readonly stdout: Terminal
  readonly stderr: Terminal
  readonly isJson: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

export interface CliOutput extends Output {
  /** An error as what, why and do on stderr, or as its document on stdout with `--json`. */
  error(document: ErrorDocument): void
}

const GREEN = 32
const YELLOW = 33
const RED = 31

/** Lines of ours that start with one of these marks are coloured on a terminal. */
const MARKS: Readonly<Record<string, number>> = { '✔': GREEN, '●': YELLOW, '!': YELLOW, '✖': RED }

export function createOutput({ stdout, stderr, isJson, env, signal }: OutputInit): CliOutput {
  const isTty = stdout.isTTY === true && !isJson
  let hasProgress = false
  const clearProgress = (): void => {
    if (hasProgress) stderr.write('\r\u001b[K')
    hasProgress = false
  }
  const print = (stream: Terminal, text: string): void => {
    clearProgress()
    const line = printable(text)
    stream.write(`${isColoured(stream, env) ? colourMarks(line) : line}${line.endsWith('\n') ? '' : '\n'}`)
  }
  return {
    isJson,
    isTty,
    columns: stdout.columns ?? stderr.columns ?? 80,
    answer(schemaName, document, human) {
      if (isJson) printDocument(stdout, { schema: schemaName, ...document })
      else print(stdout, human())
    },
    say: (text) => print(isJson ? stderr : stdout, text),
    note: (text) => print(stderr, text),
    progress(text) {
      if (stderr.isTTY !== true) return
      clearProgress()
      if (text === null) return
      stderr.write(
        `\r${printable(text)
          .replaceAll(/[\n\t]/g, ' ')
          .slice(0, (stderr.columns || 80) - 1)}`,
      )
      hasProgress = true
    },
    async write(bytes) {
      if (!stdout.write(bytes)) await once(stdout as unknown as NodeJS.EventEmitter, 'drain', { signal })
    },
    error(document) {
      if (isJson) {
        const { code, what, why, do: steps, retryable, data } = document
        clearProgress()
        const facts = filledSteps(steps, data)
        printDocument(stdout, { schema: 'nz.error/1', code, what, why, do: facts, retryable, data })
      } else print(stderr, errorText(document))
    },
  }
}

/** What went wrong, why, and what to do, with the code that documentation and searches know. */
export function errorText({ code, what, why, do: steps, data }: ErrorDocument): string {
  return [
    `✖ ${what} (${code})`,
    ...(why === null || why === '' ? [] : [`  why: ${why}`]),
    ...filledSteps(steps, data).map((step, index) => `  ${index === 0 ? 'do: ' : 'or: '} ${step}`),
  ].join('\n')
}

/** One line of JSON; control characters and line separators inside strings are escaped. */
function printDocument(stdout: Terminal, document: object): void {
  const json = JSON.stringify(document).replaceAll(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  stdout.write(`${json}\n`)
}

function isColoured(stream: Terminal, env: OutputInit['env']): boolean {
  return stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

function colourMarks(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const mark = line.slice(0, 1)
      const colour = MARKS[mark]
      return colour === undefined || line[1] !== ' ' ? line : `\u001b[${colour}m${mark}\u001b[0m${line.slice(1)}`
    })
    .join('\n')
}
