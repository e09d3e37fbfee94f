/** Who upgrades a connection: us, where one encrypter knows how to agree on itself, and libp2p everywhere else. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { SimulatedClock } from '../../kernel/index.ts'
import { joinsUpgrades } from '../../modules/network/joined-upgrade.ts'
import { noiseEncrypter } from '../../modules/network/noise/encrypter.ts'
import type { ConnectionEncrypter, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'

const HANDSHAKE_TIMEOUT_MS = 5_000

/** What libp2p's upgrader is asked, and the upgrader that a transport gets in its place. */
async function upgraders(encrypters: (ours: ConnectionEncrypter) => readonly ConnectionEncrypter[]) {
  const asked: object[] = []
  const privateKey = await generateKeyPair('Ed25519')
  const ours = noiseEncrypter()({ privateKey, upgrader: { getStreamMuxers: () => new Map() } })
  const all = new Map(encrypters(ours).map((encrypter) => [encrypter.protocol, encrypter]))
  const own = {
    upgradeOutbound: async (_connection: object, options: object) => void asked.push(options),
    upgradeInbound: async (_connection: object, options: object) => void asked.push(options),
    getConnectionEncrypters: () => all,
    getStreamMuxers: () => new Map(),
  } as unknown as Upgrader
  const given: Upgrader[] = []
  const transport = {
    dial: async (_address: object, { upgrader }: { upgrader: Upgrader }) => void given.push(upgrader),
    createListener: ({ upgrader }: { upgrader: Upgrader }) => void given.push(upgrader),
  } as unknown as Transport
  const clock = new SimulatedClock()
  const joined = joinsUpgrades(() => transport, { clock, handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS })({})
  const options = { upgrader: own, signal: new AbortController().signal }
  await joined.dial(multiaddr('/ip4/127.0.0.1/tcp/1'), options)
  joined.createListener(options)
  const [dialling, listening] = given
  assert.ok(dialling && listening)
  return { asked, own, dialling, listening, clock }
}

/** Says nothing. */
const silent = {
  remoteAddr: multiaddr('/ip4/127.0.0.1/tcp/1'),
  send: () => true,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
} as unknown as MultiaddrConnection

const { signal } = new AbortController()

describe('the upgrader of transports', () => {
  it('is ours, one for dials and listeners, where our encrypter is the only one', async () => {
    const { own, dialling, listening } = await upgraders((ours) => [ours])
    assert.notEqual(dialling, own)
    assert.equal(dialling, listening)
  })

  it("is libp2p's where another encrypter is there, beside ours or alone", async () => {
    const other = { protocol: '/tls/1.0.0' } as ConnectionEncrypter
    for (const encrypters of [(ours: ConnectionEncrypter) => [ours, other], () => [other], () => []]) {
      const { own, dialling, listening } = await upgraders(encrypters)
      assert.deepEqual([dialling === own, listening === own], [true, true])
    }
  })

  it('leaves to libp2p what somebody else has secured, and dials of both sides at once', async () => {
    const { asked, dialling, listening } = await upgraders((ours) => [ours])
    const secured = { skipEncryption: true, signal } as unknown as Parameters<Upgrader['upgradeInbound']>[1]
    await dialling.upgradeOutbound(silent, secured)
    await listening.upgradeInbound(silent, secured)
    await dialling.upgradeOutbound(silent, { signal, initiator: false })
    assert.deepEqual(asked, [secured, secured, { signal, initiator: false }])
  })

  it('gives up on a peer that says nothing', async () => {
    const { asked, listening, clock } = await upgraders((ours) => [ours])
    const upgrade = assert.rejects(listening.upgradeInbound(silent, { signal }), { name: 'TimeoutError' })
    await clock.advance(HANDSHAKE_TIMEOUT_MS)
    await upgrade
    assert.deepEqual(asked, [])
  })
})
