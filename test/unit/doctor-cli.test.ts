/** `nzcore doctor` and `nzcore bench` on the command line. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { withRatios } from '../../bench/scenario.ts'
import { benchText } from '../../cli/commands/bench.ts'
import { runCli } from '../fake/cli.ts'
import type { Figure } from '../../bench/scenario.ts'

const finding = (state: 'ok' | 'warn' | 'fail', ...fix: readonly string[]) => ({
  check: `some.${state}`,
  state,
  what: `it is ${state}`,
  fix,
})
const clientOf = (state: 'ok' | 'warn' | 'fail') => ({
  doctorExamine: async () => ({
    state,
    isNodeRunning: true,
    findings: [finding('ok'), ...(state === 'ok' ? [] : [finding(state, 'type this', 'or that')])],
  }),
})

describe('nzcore doctor', () => {
  it('tells each finding with what to type, and exits 9 only when something is wrong', async () => {
    for (const [state, code] of [
      ['ok', 0],
      ['warn', 0],
      ['fail', 9],
    ] as const) {
      assert.equal((await runCli(['doctor'], { client: clientOf(state) })).code, code)
    }
    const { stdout } = await runCli(['doctor'], { client: clientOf('fail') })
    assert.equal(
      stdout,
      '✔ it is ok\n✖ it is fail\n    do: type this\n    or: or that\n1 ok · 0 to look at · 1 wrong\n',
    )
  })

  it('prints one document, also when something is wrong', async () => {
    const { stdout, code } = await runCli(['doctor', '--json'], { client: clientOf('fail') })
    assert.equal(code, 9)
    assert.deepEqual([JSON.parse(stdout).schema, JSON.parse(stdout).state], ['nz.doctor/1', 'fail'])
  })

  it('looks for itself when no node runs', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nz-doctor-'))
    try {
      const { stdout } = await runCli(['doctor', '--json'], { env: { NZ_HOME: dir } })
      assert.equal(JSON.parse(stdout).isNodeRunning, false)
      assert.ok(JSON.parse(stdout).findings.length > 8)
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})

describe('nzcore bench', () => {
  it('knows its scenarios', async () => {
    const { code, stderr } = await runCli(['bench', '--only', 'brust'])
    assert.equal(code, 2)
    assert.match(stderr, /burst, echo, throughput, mesh, dial, streams, /)
  })

  it('says of each alternative how many times as fast the first one is, whether less or more is better', () => {
    const text = (unit: Figure['unit'], medians: readonly number[]): string[] => {
      const figures = medians.map((median, i) => ({ name: `variant ${i}`, median, min: median, max: median, unit }))
      return benchText({ scenario: 'echo', title: 'there and back', rounds: 2, figures: withRatios(figures) }).split(
        '\n',
      )
    }
    const rates = text('messages/s', [2_500_000, 50_000, 800])
    assert.match(rates[0] ?? '', /^echo: there and back; 2 rounds$/)
    assert.match(rates[1] ?? '', /VARIANT 0 IS/)
    assert.match(rates[3] ?? '', /variant 1 +50k\/s +50k\/s – 50k\/s +50\.0× as fast$/)
    assert.match(rates[4] ?? '', /variant 2 +800 messages\/s .* 3125× as fast$/)
    assert.match(text('µs', [20, 100])[3] ?? '', /100 µs .* 5\.00× as fast$/)
    assert.match(text('KB', [10, 5])[3] ?? '', / 0\.50× as small$/)
  })
})
