/**
 * The C++ of the native session, alone: unit tests and engines on real sockets under the address, undefined-behaviour
 * and thread sanitizers, and fuzzing of what strangers send (record, frames, take-over).
 *
 * NZ_FULL: libFuzzer for a minute each where clang is, or a million mutations.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, it } from 'node:test'
import { run, Toolchain } from './toolchain.ts'

const isFull = process.env['NZ_FULL'] !== undefined
const found = await Toolchain.find()
const skip = typeof found === 'string' ? found : false
const corpus = resolve(import.meta.dirname, '../../native/test/corpus')
if (typeof found !== 'string') after(async () => await found[Symbol.asyncDispose]())

/** Runs a program to its end; whatever a sanitizer says is a failure. */
async function mustPass(program: string, words: readonly string[] = []): Promise<string> {
  const env = { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1', TSAN_OPTIONS: 'halt_on_error=1' }
  const { status, signal, text } = await run(program, words, { env })
  assert.equal(status, 0, `${signal ?? ''}\n${text}`)
  return text
}

describe('the C++ of the native session', { skip }, () => {
  if (typeof found === 'string') return

  it('keeps its promises under the address and undefined-behaviour sanitizers', async () => {
    const files = ['main.cc', 'record_test.cc', 'session_test.cc', 'engine_test.cc']
    assert.match(await mustPass(await found.build('unit', files, 'address,undefined')), /\d+ cases, \d+ checks/)
  })

  it('has two threads that share what they should and nothing else', async () => {
    const program = await found.build('engine', ['main.cc', 'engine_test.cc'], 'thread')
    assert.match(await mustPass(program), /\d+ cases, \d+ checks/)
  })

  for (const target of ['record', 'yamux', 'take_over'])
    it(`survives arbitrary input: ${target}`, async (t) => {
      const clang = isFull ? await Toolchain.find('clang++') : 'only with NZ_FULL'
      if (typeof clang === 'string') {
        t.diagnostic(`mutations of the corpus in place of libFuzzer: ${clang}`)
        const program = await found.build(`fuzz-${target}`, ['fuzz_main.cc', `fuzz_${target}.cc`], 'address,undefined')
        const runs = isFull ? '1000000' : '30000'
        assert.match(await mustPass(program, [join(corpus, target), runs, '1']), new RegExp(`${runs} runs`))
        return
      }
      await using libFuzzer = clang
      const grown = mkdtempSync(join(tmpdir(), 'nz-corpus-'))
      try {
        const program = await libFuzzer.build(`fuzz-${target}`, [`fuzz_${target}.cc`], 'address,undefined', [
          '-fsanitize=fuzzer',
        ])
        await mustPass(program, [
          '-max_total_time=60',
          '-timeout=10',
          '-rss_limit_mb=1024',
          grown,
          join(corpus, target),
        ])
      } finally {
        rmSync(grown, { recursive: true, force: true })
      }
    })
})
