/**
 * The C++ of the native session, alone: unit tests and engines on real sockets under the address, undefined-behaviour
 * and thread sanitizers, and fuzzing of what strangers send (record, frames, take-over).
 *
 * libFuzzer runs where clang++ is: 60 s a target in CI and with NZ_FULL, else 5 s, or NZ_FUZZ_SECONDS. Elsewhere our own
 * mutations of the corpus run. An input that failed is printed; it belongs into native/test/corpus/<target>/, where
 * every run begins.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, describe, it } from 'node:test'
import { run, Toolchain } from './toolchain.ts'

const MUTATIONS = 30_000
const SANITIZER_OPTIONS = {
  // What was freed is kept for a while to be recognised; buffers here are large.
  ASAN_OPTIONS: 'detect_leaks=1:quarantine_size_mb=64',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  TSAN_OPTIONS: 'halt_on_error=1',
}
const isLong = process.env['CI'] !== undefined || process.env['NZ_FULL'] !== undefined
const fuzzSeconds = Number(process.env['NZ_FUZZ_SECONDS'] ?? (isLong ? 60 : 5))
const found = await Toolchain.find()
const fuzzer = await Toolchain.find('clang++')
const skip = typeof found === 'string' ? found : false
const corpus = resolve(import.meta.dirname, '../../native/test/corpus')
for (const each of [found, fuzzer]) if (typeof each !== 'string') after(async () => await each[Symbol.asyncDispose]())

/** Runs a program to its end; whatever a sanitizer says is a failure. */
async function mustPass(program: string, words: readonly string[] = []): Promise<string> {
  const { status, signal, text } = await run(program, words, { env: SANITIZER_OPTIONS })
  assert.equal(status, 0, `${signal ?? ''}\n${text}`)
  return text
}

describe('the C++ of the native session', { skip }, () => {
  if (typeof found === 'string') return

  it('keeps its promises under the address and undefined-behaviour sanitizers', async () => {
    const files = [
      'main.cc',
      'record_test.cc',
      'slab_test.cc',
      'session_test.cc',
      'engine_test.cc',
      'moves_test.cc',
      'hardship_test.cc',
    ]
    assert.match(await mustPass(await found.build('unit', files, 'address,undefined')), /\d+ cases, \d+ checks/)
  })

  it('has two threads that share what they should and nothing else', async () => {
    const program = await found.build(
      'engine',
      ['main.cc', 'slab_test.cc', 'engine_test.cc', 'moves_test.cc', 'hardship_test.cc'],
      'thread',
    )
    assert.match(await mustPass(program), /\d+ cases, \d+ checks/)
  })
})

describe('arbitrary input', { skip, concurrency: 3 }, () => {
  if (typeof found === 'string') return

  for (const target of ['record', 'yamux', 'take_over'])
    it(`is survived: ${target}`, async (t) => {
      const missing = typeof fuzzer === 'string' ? fuzzer : await fuzzer.missing('fuzzer')
      if (typeof fuzzer === 'string' || missing !== null) {
        t.diagnostic(`mutations of the corpus in place of libFuzzer: ${missing ?? ''}`)
        const program = await found.build(`fuzz-${target}`, ['fuzz_main.cc', `fuzz_${target}.cc`], 'address,undefined')
        assert.match(await mustPass(program, [join(corpus, target), String(MUTATIONS), '1']), /\d+ runs/)
        return
      }
      const place = mkdtempSync(join(tmpdir(), 'nz-fuzz-'))
      try {
        // All but the program itself is built once for every target.
        const program = await fuzzer.build(`fuzz-${target}`, [`fuzz_${target}.cc`], 'address,undefined', {
          compile: ['-fsanitize=fuzzer-no-link'],
          link: ['-fsanitize=fuzzer'],
        })
        t.diagnostic(await fuzz(program, target, place))
      } finally {
        rmSync(place, { recursive: true, force: true })
      }
    })
})

/** Runs one target for its time. Returns libFuzzer's last word. */
async function fuzz(program: string, target: string, place: string): Promise<string> {
  const limits = [`-max_total_time=${fuzzSeconds}`, '-timeout=30', '-rss_limit_mb=1024', '-max_len=4096', '-seed=1']
  const words = [...limits, '-print_final_stats=1', `-artifact_prefix=${place}/failed-`, place, join(corpus, target)]
  const { status, signal, text } = await run(program, words, { env: SANITIZER_OPTIONS, timeoutMs: 400_000 })
  const failed = readdirSync(place).filter((name) => name.startsWith('failed-'))
  const inputs = failed.map((name) => `${name}, base64: ${readFileSync(join(place, name)).toString('base64')}`)
  assert.equal(status, 0, [signal ?? '', text, ...inputs].join('\n'))
  const [runs] = /stat::number_of_executed_units: *\d+/.exec(text) ?? []
  const covered = text.match(/cov: \d+ ft: \d+/g)?.at(-1)
  assert.ok(runs !== undefined, text)
  return `${target}, ${fuzzSeconds} s: ${runs}, ${covered ?? 'nothing new'}`
}
