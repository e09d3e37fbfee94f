/** `nzcore doctor` and `nzcore bench` on the command line. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { runCli } from '../fake/cli.ts'

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
})
