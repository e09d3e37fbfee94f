/**
 * Transcripts in documentation, and how they are compared with what really happens.
 *
 * A fence ```` ```sh run ```` holds commands after a prompt, each followed by what it prints. All such fences of a file are
 * run in order, in folders and homes made for them:
 *
 *     $ nzcore up                 on the reader's machine
 *     desk$ nzcore invite         on a machine called desk
 *
 * What is printed may differ from what is shown in what always differs: numbers, durations and sizes; ids, tickets and
 * words made from keys; white space. `…` stands for any text in a line, a line of `…` alone for any lines. A command
 * without shown output may print anything. `# exit 3` at the end of a command: it is expected to exit so.
 */

export interface Step {
  /** Name of the machine; empty: the reader's. */
  readonly machine: string
  readonly command: string
  readonly exit: number
  readonly expected: readonly string[]
  /** `file:line` of the prompt. */
  readonly where: string
}

const PROMPT = /^([a-z]*)\$ (.+)$/

/** The steps of all fences of a Markdown text that are marked to be run. */
export function stepsOf(markdown: string, file: string): readonly Step[] {
  const steps: Array<Step & { expected: string[] }> = []
  let fence: 'none' | 'run' | 'other' = 'none'
  markdown.split('\n').forEach((line, i) => {
    const opening = /^```(.*)$/.exec(line)
    if (opening !== null) {
      fence = fence !== 'none' ? 'none' : opening[1]?.trim() === 'sh run' ? 'run' : 'other'
      return
    }
    if (fence !== 'run') return
    const prompt = PROMPT.exec(line)
    const where = `${file}:${i + 1}`
    if (prompt !== null) {
      const [, machine = '', text = ''] = prompt
      const exit = /\s+# exit (\d+)$/.exec(text)
      const command = text.replace(/\s+# .*$/, '').trim()
      steps.push({ machine, command, exit: Number(exit?.[1] ?? 0), expected: [], where })
      return
    }
    const last = steps.at(-1)
    if (last === undefined) throw new Error(`${where}: output before the first prompt`)
    last.expected.push(line)
  })
  return steps.map((step) => ({ ...step, expected: withoutEmptyEnds(step.expected) }))
}

/** `null` when what was printed is what is shown, else the first shown line that is missing. */
export function firstMissing(expected: readonly string[], printed: string): string | null {
  const lines = withoutEmptyEnds(printed.split('\n').map((line) => line.trimEnd()))
  return matchFrom(expected, 0, lines, 0)
    ? null
    : (expected.find((line) => !lines.some(patternOf(line))) ?? 'the order')
}

function matchFrom(expected: readonly string[], e: number, lines: readonly string[], l: number): boolean {
  const line = expected[e]
  if (line === undefined) return expected.length === 0 || l === lines.length
  if (line.trim() === '…') {
    for (let skip = l; skip <= lines.length; skip++) if (matchFrom(expected, e + 1, lines, skip)) return true
    return false
  }
  const printed = lines[l]
  return printed !== undefined && patternOf(line)(printed) && matchFrom(expected, e + 1, lines, l + 1)
}

/** What always differs between two runs, and what it may be instead. Earlier ones win. */
const variable: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?:nzi1|nz1|12D3Koo|inv_|rcp_|in_)[\w…]*/y, '[\\w…]+'],
  [/[A-Z]{3,8}(?:[ -][A-Z]{3,8}){3}/y, '[A-Z]{3,8}(?:[ -][A-Z]{3,8}){3}'],
  [/\b[0-9a-f]{8,}…?/y, '[0-9a-f]+…?'],
  [/…/y, '.*'],
  [/\d+(?:[.,:]\d+)*(?: ?(?:ns|µs|ms|s|m|h|d|min))?(?![\w])/y, '[\\d.,:]+(?: ?(?:ns|µs|ms|s|m|h|d|min))?'],
  [/\d+(?:[.,:]\d+)*/y, '[\\d.,:]+'],
  [/\s+/y, '\\s+'],
]

function patternOf(line: string): (printed: string) => boolean {
  const text = line.trim()
  let pattern = ''
  for (let at = 0; at < text.length;) {
    const found = variable
      .map(([what, instead]) => {
        what.lastIndex = at
        return { length: what.exec(text)?.[0].length ?? 0, instead }
      })
      .find(({ length }) => length > 0)
    pattern += found?.instead ?? text.charAt(at).replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&')
    at += found?.length ?? 1
  }
  const whole = new RegExp(`^${pattern}$`)
  return (printed) => whole.test(printed.trim())
}

function withoutEmptyEnds(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => line.trim() !== '')
  const last = lines.findLastIndex((line) => line.trim() !== '')
  return first === -1 ? [] : lines.slice(first, last + 1)
}
