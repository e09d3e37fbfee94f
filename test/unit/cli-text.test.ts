import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { createOutput } from '../../cli/output.ts'
import { createPrompt } from '../../cli/prompt.ts'
import {
  displayWidth,
  escapeText,
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatTime,
  shortId,
  shortIds,
  table,
} from '../../cli/text.ts'
import { FakeTerminal } from '../fake/cli.ts'

it('escapes everything that could move the cursor, hide or reorder text', () => {
  assert.equal(
    escapeText('a\nb\u001b]0;x\u0007\u009b\u202e\u200b\u2028'),
    'a\\u{a}b\\u{1b}]0;x\\u{7}\\u{9b}\\u{202e}\\u{200b}\\u{2028}',
  )
  assert.equal(escapeText('Zoë 書斎 🦊'), 'Zoë 書斎 🦊')
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => !/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u.test(escapeText(text)),
    ),
  )
})

it('writes durations, ages, sizes and counts in the unit people expect', () => {
  assert.deepEqual([0.42, 5, 23.4, 999.4, 1_400, 12_340, 125_000, 7_500_000].map(formatDuration), [
    '0.42 ms',
    '5 ms',
    '23 ms',
    '999 ms',
    '1.40 s',
    '12.3 s',
    '2m 05s',
    '2h 05m',
  ])
  assert.deepEqual([8_000, 120_000, 3 * 3_600_000, 5 * 86_400_000].map(formatAge), ['8s', '2m', '3h', '5d'])
  assert.deepEqual([0, 999, 1_234, 412_000_000, 999_999, 1_073_741_824].map(formatBytes), [
    '0 B',
    '999 B',
    '1.2 kB',
    '412 MB',
    '1 MB',
    '1.1 GB',
  ])
  assert.deepEqual([7, 1_234, 3_400_000].map(formatCount), ['7', '1.2k', '3.4M'])
})

it('writes times in the local zone, with the day when it is another', () => {
  const nowMs = new Date(2026, 10, 20, 12, 0, 0).getTime()
  assert.equal(formatTime(new Date(2026, 10, 20, 10, 21, 7).getTime(), { nowMs }), '10:21:07')
  assert.equal(formatTime(new Date(2026, 10, 19, 10, 21, 7).getTime(), { nowMs }), '2026-11-19 10:21:07')
})

it('shortens ids so that they stay unique among those shown', () => {
  assert.equal(shortId('nz1q7k4vaaaaaaaaaam3p9'), 'nz1q7k4v…m3p9')
  const ids = ['nz1q7k4vaaaaaaaaaaaaaaaam3p9', 'nz1q7k4vabaaaaaaaaaaaaaam3p9', 'nz1zzzzzabaaaaaaaaaaaaaam3p9']
  assert.deepEqual([...shortIds(ids).values()], ['nz1q7k4vaa…m3p9', 'nz1q7k4vab…m3p9', 'nz1zzzzz…m3p9'])
})

it('aligns columns by their width on the screen', () => {
  assert.equal(displayWidth('書斎'), 4)
  assert.equal(
    table(
      ['NAME', 'RTT'],
      [
        ['書斎', '1 ms'],
        ['desk', '-'],
      ],
    ),
    'NAME  RTT\n書斎  1 ms\ndesk  -',
  )
})

it('colours its own marks on a terminal only, and never with NO_COLOR', () => {
  const print = (isTty: boolean, env: Record<string, string>): string => {
    const stdout = new FakeTerminal({ isTty })
    const signal = new AbortController().signal
    createOutput({ stdout, stderr: new FakeTerminal({ isTty }), isJson: false, env, signal }).say('✔ done')
    return stdout.text
  }
  assert.equal(print(true, {}), '\u001b[32m✔\u001b[0m done\n')
  for (const plain of [print(false, {}), print(true, { NO_COLOR: '1' }), print(true, { TERM: 'dumb' })]) {
    assert.equal(plain, '✔ done\n')
  }
})

it('shows progress on the terminal of stderr only', () => {
  for (const isTty of [true, false]) {
    const stderr = new FakeTerminal({ isTty })
    const stdout = new FakeTerminal({ isTty })
    const output = createOutput({ stdout, stderr, isJson: false, env: {}, signal: new AbortController().signal })
    output.progress('63 %')
    output.progress(null)
    assert.equal(stdout.text, '')
    assert.equal(stderr.text, isTty ? '\r63 %\r\u001b[K' : '')
  }
})

class FakeKeyboard {
  isRaw = false
  onRaw: (() => void) | undefined
  #listener: ((bytes: Uint8Array) => void) | undefined
  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw
    if (isRaw) this.onRaw?.()
  }
  on(_event: 'data', listener: (bytes: Uint8Array) => void): void {
    this.#listener = listener
  }
  off(): void {
    this.#listener = undefined
  }
  resume(): void {}
  pause(): void {}
  type(text: string): void {
    this.#listener?.(new TextEncoder().encode(text))
  }
}

function promptOn(keyboard: FakeKeyboard, init: { readonly isTty?: boolean; readonly interrupt?: () => void } = {}) {
  const { isTty = true, interrupt = () => undefined } = init
  const stderr = new FakeTerminal({ isTty })
  const prompt = createPrompt({
    stdin: () => keyboard,
    isStdinTty: isTty,
    stderr,
    signal: new AbortController().signal,
    interrupt,
  })
  return { prompt, stderr }
}

it('reads secrets without echo, with correction, and leaves raw mode', async () => {
  const keyboard = new FakeKeyboard()
  const { prompt, stderr } = promptOn(keyboard)
  const answer = prompt.secret('Passphrase:')
  keyboard.type('hé')
  keyboard.type('\u007f')
  keyboard.type('\u001b[A')
  keyboard.type('ello\r')
  assert.equal(new TextDecoder().decode(await answer), 'hello')
  assert.equal(stderr.text, 'Passphrase: \n')
  assert.equal(keyboard.isRaw, false)
})

it('asks only when the terminal no longer shows what is typed', async () => {
  const keyboard = new FakeKeyboard()
  const { prompt, stderr } = promptOn(keyboard)
  let shownBefore: string | null = null
  keyboard.onRaw = () => (shownBefore = stderr.text)
  const answer = prompt.secret('Passphrase:')
  keyboard.type('word\r')
  await answer
  assert.equal(shownBefore, '')
})

it('asks yes or no until it is answered', async () => {
  const keyboard = new FakeKeyboard()
  const { prompt } = promptOn(keyboard)
  const first = prompt.confirm('same words?', { default: false })
  keyboard.type('\r')
  assert.equal(await first, false)
  const second = prompt.confirm('sure?')
  keyboard.type('maybe\r')
  await new Promise((resolve) => setImmediate(resolve))
  keyboard.type('y\r')
  assert.equal(await second, true)
})

it('never asks without a terminal', async () => {
  const { prompt, stderr } = promptOn(new FakeKeyboard(), { isTty: false })
  await assert.rejects(prompt.confirm('same words?'), { code: 'NZ_CLI_NO_TTY' })
  assert.equal(stderr.text, '')
})

it('passes Ctrl-C on while it reads', () => {
  let interrupts = 0
  const keyboard = new FakeKeyboard()
  void promptOn(keyboard, { interrupt: () => (interrupts += 1) }).prompt.secret('?')
  keyboard.type('\u0003')
  assert.equal(interrupts, 1)
})
