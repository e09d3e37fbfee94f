/**
 * Services between real daemons that have one common node: found by who has never met the announcer, known as silent
 * when it was killed and forgotten when its time is over; and what a liar brings, refused and counted.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { decodeStored, encodeStore, STORE_METHOD } from '../../protocols/discovery/messages.ts'
import { recordCodes } from '../../protocols/discovery/errors.ts'
import { createRecord, keyOfService } from '../../protocols/discovery/record.ts'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { freePort } from './story/loopback-port.ts'
import { lastDocument, Machine } from './story/machine.ts'
import type { RecordBody } from '../../protocols/discovery/record.ts'

const WAIT_MS = 60_000
const TTL_MS = 10_000

interface Found {
  readonly peer: { readonly peerId: string; readonly name: string | null }
  readonly state: string
  readonly agreed: readonly string[]
  readonly health: string
  readonly expiresAtMs: number
}

const keysOf = async (byte: number): Promise<IdentityKeys> =>
  await IdentityKeys.derive(new Uint8Array(32).fill(byte), ['A', 'B', 'C', 'D'])

describe('daemons that know one common node', { timeout: 300_000 }, () => {
  let folder = ''
  let address = ''
  const machines: Record<'common' | 'announcer' | 'seeker', Machine> = Object.create(null) as never
  const ids: Record<string, string> = {}

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nzd-'))
    const port = await freePort()
    const listen = (at: number | string): string => `[network]\nlisten = ["/ip4/127.0.0.1/tcp/${at}"]\n`
    const start = async (name: keyof typeof machines, config: string): Promise<void> => {
      machines[name] = await Machine.create(join(folder, name), config)
      await machines[name].json('up')
      ids[name] = String((await machines[name].json('id'))['peerId'])
    }
    await start('common', `${listen(port)}[discovery]\nintervalMs = 1000\n`)
    address = `/ip4/127.0.0.1/tcp/${port}/p2p/${ids['common']}`
    const joining = `[discovery]\nintervalMs = 1000\nserviceTtlMs = ${TTL_MS}\nbootstrap = ["${address}"]\n`
    for (const name of ['announcer', 'seeker'] as const) await start(name, `${listen(0)}${joining}`)
  })

  after(async () => {
    await Promise.all(Object.values(machines).map(async (machine) => await machine.run('down')))
    await rm(folder, { recursive: true, force: true })
  })

  async function until<T>(what: string, attempt: () => Promise<T | null>): Promise<T> {
    const endMs = performance.now() + WAIT_MS
    for (;;) {
      const value = await attempt()
      if (value !== null) return value
      assert.ok(performance.now() < endMs, `not in time: ${what}`)
      await pause(100)
    }
  }

  const found = async (...args: readonly string[]): Promise<readonly Found[]> => {
    const { code, stdout, stderr } = await machines.seeker.run('service', 'find', ...args, '--json')
    // Alone: it has not joined yet.
    assert.ok(code === 0 || stdout.includes('NZ_DISCOVERY_ALONE'), stderr)
    return code === 0 ? (lastDocument(stdout)['services'] as readonly Found[]) : []
  }

  it('find a service of one that they have never met, by what it can do', async () => {
    const abilities = ['--capability', 'pdf', '--capability', 'colour', '--health', 'degraded']
    const offered = await machines.announcer.run('service', 'announce', 'printer', ...abilities)
    assert.equal(offered.code, 0, offered.stderr)
    assert.match(offered.stdout, /^✔ announced printer · .+ \(undo: nzcore service withdraw printer\)\n$/)
    const service = await until('a service that answers', async () => {
      const [first] = await found('printer', '--capability', 'pdf')
      return first?.state === 'answers' ? first : null
    })
    assert.deepEqual(
      [service.peer, service.agreed, service.health],
      [{ peerId: ids['announcer'], name: null }, ['pdf'], 'degraded'],
    )
    assert.equal((await found('--capability', 'colour')).length, 1)
    assert.deepEqual(await found('printer', '--capability', 'fax'), [])
    const { peer, lookup } = (await machines.seeker.json('discovery', 'find', ids['announcer'] ?? '')) as {
      readonly peer: { readonly peerId: string }
      readonly lookup: { readonly addresses: readonly string[] | null }
    }
    assert.equal(peer.peerId, ids['announcer'])
    assert.ok((lookup.addresses?.length ?? 0) > 0)
  })

  it('learn at the next search that its node was killed, and forget it within the time that was stated', async () => {
    await machines.announcer.kill()
    const killedAtMs = Date.now()
    await until('the offer forgotten', async () => {
      const askedAtMs = Date.now()
      const offers = await found('printer')
      for (const { state, expiresAtMs } of offers) {
        assert.equal(state, 'silent')
        assert.ok(expiresAtMs > askedAtMs && expiresAtMs <= killedAtMs + TTL_MS, `${expiresAtMs - killedAtMs} ms`)
      }
      return offers.length === 0 ? true : null
    })
  })

  it('refuse what is forged, stale, over, too large or in the wrong place, and count it', async () => {
    const [mallory, other] = await Promise.all([keysOf(66), keysOf(67)])
    const nowMs = Date.now()
    const key = keyOfService('printer')
    const record = (changes: Partial<RecordBody> = {}, by = mallory): Uint8Array =>
      createRecord(
        {
          signer: Buffer.from(mallory.self.nodePublicKey).toString('hex'),
          sequence: nowMs,
          ttlS: 300,
          content: { kind: 'service', name: 'printer', version: '1', health: 'healthy', capabilities: [] },
          ...changes,
        },
        (purpose, message) => by.signAsNode(purpose, message),
      ).bytes
    await using liar = await startNetworkNode({ config: { listen: [] } })
    const signal = AbortSignal.timeout(WAIT_MS)
    await liar.network.connect(ids['common'] ?? '', { addresses: [address], signal })
    const store = async (bytes: Uint8Array, at = key): Promise<unknown> => {
      const answer = await liar.network.request(
        ids['common'] ?? '',
        STORE_METHOD,
        encodeStore([{ key: at, record: bytes }]),
        { signal },
      )
      return recordCodes[decodeStored(answer)?.[0] ?? 255]
    }
    const told = [
      await store(record()),
      await store(record({}, other)),
      await store(record({ sequence: nowMs - 1 })),
      await store(record({ sequence: nowMs - 400_000 })),
      await store(new Uint8Array(2_049)),
      await store(record(), keyOfService('scanner')),
    ]
    const refused = ['FORGED', 'STALE', 'EXPIRED', 'TOO_LARGE', 'WRONG_KEY'].map((code) => `NZ_DISCOVERY_${code}`)
    assert.deepEqual(told, [null, ...refused])
    const { discovery } = (await machines.common.json('discovery', 'status')) as {
      readonly discovery: { readonly counters: { readonly refused: Readonly<Record<string, number>> } }
    }
    for (const code of refused) assert.ok((discovery.counters.refused[code] ?? 0) > 0, code)
    const screen = (await machines.common.run('discovery', 'status')).stdout
    for (const code of refused) assert.match(screen, new RegExp(`^refused .*${code} \\d+`, 'm'))
  })
})
