/** Trust between three real daemons: stated on one, explained on another; kept over restarts; a revocation hangs up. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from '../../sdk/index.ts'
import { lastDocument, Machine } from './story/machine.ts'
import { freePort } from './story/loopback-port.ts'

const WAIT_MS = 60_000
const POLL_MS = 50

interface Explained {
  readonly level: string
  readonly because: string
  readonly mayDo: readonly string[]
  readonly paths: readonly (readonly { readonly level: string; readonly issuer: { readonly name: string | null } }[])[]
}

describe('trust between daemons', () => {
  let folder = ''
  const machines: Record<'desk' | 'laptop' | 'tablet', Machine> = Object.create(null) as never
  const ids: Record<string, string> = {}

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nzt-'))
    const port = await freePort()
    const configs = {
      desk: `[network]\nlisten = ["/ip4/127.0.0.1/tcp/${port}"]\n[contacts]\nname = "desk"\n`,
      laptop: '[network]\nlisten = []\n[contacts]\nname = "laptop"\n',
      tablet: '[network]\nlisten = []\n[contacts]\nname = "tablet"\n',
    }
    for (const name of ['desk', 'laptop', 'tablet'] as const) {
      machines[name] = await Machine.create(join(folder, name), configs[name])
      await machines[name].json('up')
      ids[name] = String((await machines[name].json('id'))['peerId'])
    }
  })

  after(async () => {
    await Promise.all(Object.values(machines).map(async (machine) => await machine.run('down')))
    await rm(folder, { recursive: true, force: true })
  })

  async function explain(on: keyof typeof machines, peer: string): Promise<Explained> {
    const { code, stdout, stderr } = await machines[on].run('trust', 'explain', ids[peer] ?? '', '--json')
    assert.equal(code, 0, stderr)
    return lastDocument(stdout)['trust'] as Explained
  }

  async function until(what: string, isTrue: () => Promise<boolean>): Promise<number> {
    const startMs = performance.now()
    while (!(await isTrue())) {
      assert.ok(performance.now() - startMs < WAIT_MS, `not in time: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    return performance.now() - startMs
  }

  async function run(on: keyof typeof machines, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await machines[on].run(...args)
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }

  const root = async (on: keyof typeof machines): Promise<string> => {
    const { trust } = lastDocument(await run(on, 'trust', 'status', '--json')) as { trust: { root: string } }
    return trust.root
  }

  it('states a contact MEDIUM on both sides once they have joined', async () => {
    for (const guest of ['laptop', 'tablet'] as const) {
      const { ticket } = lastDocument(await run('desk', 'invite', '--yes', '--no-wait', '--json')) as { ticket: string }
      await run(guest, 'join', ticket, '--yes', '--json')
      await until('a statement on the desk', async () => (await explain('desk', guest)).level === 'MEDIUM')
      await until('a statement on the guest', async () => (await explain(guest, 'desk')).because === 'own')
    }
  })

  it('tells the laptop what the desk says of the tablet, within a second', async (test) => {
    const [{ api: desk }, { api: laptop }] = await Promise.all([
      connect({ env: machines.desk.env }),
      connect({ env: machines.laptop.env }),
    ])
    const signal = AbortSignal.timeout(WAIT_MS)
    const events = laptop.eventsFollow({ names: ['trust.changed'] }, { signal })[Symbol.asyncIterator]()
    let isHeard = false
    const heard = events.next().then(() => (isHeard = true))
    while (!isHeard) {
      await laptop.trustSet({ peer: 'desk', level: 'MEDIUM', vouchDepth: 1 }, { signal })
      await Promise.race([heard, new Promise((resolve) => setImmediate(resolve))])
    }
    const arrival = async (level: string): Promise<void> => {
      for (;;) {
        const { value, done } = await events.next()
        assert.ok(done !== true)
        const {
          issuer,
          subject,
          level: said,
        } = (value.kind === 'event' ? value.payload : {}) as Record<string, unknown>
        if (issuer === ids['desk'] && subject === ids['tablet'] && said === level) return
      }
    }
    // Another process may have the cores for a second: what lay in a timer of ours would be there each time.
    const tookMs: number[] = []
    for (const level of ['LOW', 'MEDIUM', 'LOW', 'MEDIUM', 'HIGH'] as const) {
      const startMs = performance.now()
      await desk.trustSet({ peer: 'tablet', level })
      await arrival(level)
      tookMs.push(performance.now() - startMs)
    }
    await events.return?.()
    test.diagnostic(`known on the laptop after ${tookMs.map((ms) => ms.toFixed(0)).join(', ')} ms`)
    assert.ok(Math.min(...tookMs) < 1_000, `${tookMs.join(', ')} ms`)
    const { because, paths } = await explain('laptop', 'tablet')
    const last = paths[0]?.at(-1)
    assert.deepEqual([because, last?.issuer.name, last?.level], ['path', 'desk', 'HIGH'])
    assert.match(await run('laptop', 'trust', 'explain', ids['tablet'] ?? ''), /desk says HIGH/)
  })

  it('takes nothing from a contact that is not trusted enough', async () => {
    const file = join(folder, 'note.txt')
    await writeFile(file, 'a note')
    await mkdir(join(folder, 'inbox'))
    await run('desk', 'receive', '--to', join(folder, 'inbox'), '--detach')
    await run('desk', 'trust', 'set', 'laptop', 'unknown')
    const refused = await machines.laptop.run('send', 'desk', 'note.txt', file)
    assert.equal(refused.code, 7, refused.stdout + refused.stderr)
    const stated = await run('desk', 'trust', 'set', 'laptop', 'medium', '--vouch', '1')
    assert.match(stated, /laptop: MEDIUM \(500 of 1000\), may vouch 1 deep/)
    await run('laptop', 'send', 'desk', 'note.txt', file)
  })

  it('tells a daemon that was off when it returns', async () => {
    await run('laptop', 'down')
    await run('desk', 'trust', 'set', 'tablet', 'low')
    await run('laptop', 'up')
    await until('the lower level', async () => (await explain('laptop', 'tablet')).level === 'UNKNOWN')
    await until('equal roots', async () => (await root('laptop')) === (await root('desk')))
  })

  it('has lost nothing after kill -9', async () => {
    const before = await root('desk')
    await machines.desk.kill()
    await run('desk', 'up')
    assert.equal(await root('desk'), before)
  })

  it('hangs up on a revoked peer and keeps it out', async () => {
    await run('desk', 'trust', 'revoke', 'tablet', '--reason', 'lost', '--yes')
    assert.deepEqual((await explain('desk', 'tablet')).mayDo, [])
    const state = async (): Promise<string> => {
      const { contacts } = lastDocument(await run('desk', 'contacts', '--json')) as {
        contacts: readonly { name: string; state: string }[]
      }
      return contacts.find(({ name }) => name === 'tablet')?.state ?? 'gone'
    }
    await until('the tablet is away', async () => (await state()) !== 'connected')
    const { code, stderr } = await machines.desk.run('trust', 'set', 'tablet', 'high')
    assert.equal(code, 7, stderr)
    assert.match(stderr, /NZ_TRUST_REVOKED/)
    await until('the laptop knows', async () => (await explain('laptop', 'tablet')).level === 'UNKNOWN')
  })
})
