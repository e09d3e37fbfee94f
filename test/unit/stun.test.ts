/** STUN: the vectors of RFC 5769, messages that are none, and what is found out of each kind of NAT by RFC 5780. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { systemClock, systemRandom } from '../../kernel/index.ts'
import { MAX_STUN_SERVERS } from '../../modules/network/reach/stun-servers.ts'
import { StunSurvey, survey } from '../../modules/network/reach/stun-survey.ts'
import {
  ATTRIBUTE,
  changeRequest,
  decodeStun,
  encodeStun,
  hasIntegrity,
  mappedAddressOf,
  MAX_ATTRIBUTES,
  MAX_MESSAGE_BYTES,
  TYPE,
  valueOf,
  xorAddressValue,
} from '../../protocols/stun/message.ts'
import { fakeStunServer } from '../fake/stun-server.ts'
import type { Clock } from '../../kernel/index.ts'
import type { StunFinding } from '../../modules/network/reach/stun-survey.ts'
import type { Endpoint } from '../../protocols/stun/message.ts'
import type { FakeStunServerInit } from '../fake/stun-server.ts'

const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/rfc5769-stun.json', import.meta.url), 'utf8'))
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const key = Buffer.from(vectors.password)
const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString()

describe('STUN messages', () => {
  it('RFC 5769 §2.1: a request, its parts and who made it', () => {
    const message = decodeStun(bytes(vectors.request)) ?? assert.fail()
    assert.equal(message.type, TYPE.request)
    assert.equal(text(valueOf(message, ATTRIBUTE.software)), 'STUN test client')
    assert.equal(text(valueOf(message, ATTRIBUTE.username)), 'evtj:h6vY')
    assert.ok(hasIntegrity(bytes(vectors.request), key))
    assert.ok(!hasIntegrity(bytes(vectors.request), Buffer.from('another key')))
  })
  it('RFC 5769 §2.2 and §2.3: answers that tell an address of each family', () => {
    for (const [name, endpoint] of [
      ['ipv4Response', { host: '192.0.2.1', port: 32_853 }],
      ['ipv6Response', { host: '2001:db8:1234:5678:11:2233:4455:6677', port: 32_853 }],
    ] as const) {
      const message = decodeStun(bytes(vectors[name])) ?? assert.fail(name)
      assert.equal(message.type, TYPE.success)
      assert.deepEqual(mappedAddressOf(message), endpoint)
      assert.ok(hasIntegrity(bytes(vectors[name]), key))
    }
  })
  it('RFC 5769 §2.4: a request with long-term credentials', () => {
    const { username, realm, password } = vectors.longTermKey
    const longTermKey = createHash('md5').update(`${username}:${realm}:${password}`).digest()
    const message = decodeStun(bytes(vectors.longTermRequest)) ?? assert.fail()
    assert.equal(text(valueOf(message, ATTRIBUTE.username)), username)
    assert.ok(hasIntegrity(bytes(vectors.longTermRequest), longTermKey))
  })
  it('any changed bit before the fingerprint is noticed, and any of its value', () => {
    for (const name of ['request', 'ipv4Response', 'ipv6Response']) {
      const honest = bytes(vectors[name])
      for (let bit = 0; bit < honest.length * 8; bit += 1) {
        // Without its name the fingerprint is an attribute nobody knows.
        if (bit >= (honest.length - 8) * 8 && bit < (honest.length - 4) * 8) continue
        const changed = honest.slice()
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        assert.ok(decodeStun(changed) === null || !hasIntegrity(changed, key), `${name} bit ${bit}`)
      }
    }
  })
  it('an address is told as the RFC hides it, and read again', () => {
    const { transaction } = decodeStun(bytes(vectors.ipv4Response)) ?? assert.fail()
    const value = xorAddressValue({ host: '192.0.2.1', port: 32_853 }, transaction)
    assert.equal(Buffer.from(value).toString('hex'), '0001a147e112a643')
    assert.deepEqual(changeRequest({ host: true, port: true }).value, Uint8Array.of(0, 0, 0, 6))
  })
  const plain = { noNullPrototype: true } as const
  const attribute = {
    type: fc.nat(0xffff).filter((type) => type !== ATTRIBUTE.fingerprint),
    value: fc.uint8Array({ maxLength: 30 }),
  }
  const any = fc.record(
    {
      type: fc.constantFrom(...Object.values(TYPE)),
      transaction: fc.uint8Array({ minLength: 12, maxLength: 12 }),
      attributes: fc.array(fc.record(attribute, plain), { maxLength: 8 }),
    },
    plain,
  )
  it('what is written is read the same', () => {
    fc.assert(
      fc.property(any, (message) => {
        const read = decodeStun(encodeStun(message))
        assert.deepEqual(read?.attributes.slice(0, -1), message.attributes)
        assert.deepEqual([read?.type, read?.transaction], [message.type, message.transaction])
      }),
      { numRuns: 300 },
    )
  })
  it('are bounded in length and attributes', () => {
    const transaction = new Uint8Array(12)
    const attributes = Array.from({ length: MAX_ATTRIBUTES }, () => ({ type: 1, value: new Uint8Array() }))
    assert.ok(decodeStun(encodeStun({ type: TYPE.request, transaction, attributes: attributes.slice(1) })) !== null)
    assert.equal(decodeStun(encodeStun({ type: TYPE.request, transaction, attributes })), null)
    const long = [{ type: 1, value: new Uint8Array(MAX_MESSAGE_BYTES) }]
    assert.throws(() => encodeStun({ type: TYPE.request, transaction, attributes: long }), RangeError)
    assert.equal(decodeStun(new Uint8Array(MAX_MESSAGE_BYTES + 4)), null)
  })
  it('reads or refuses any bytes', () => {
    const honest = ['request', 'ipv4Response', 'ipv6Response', 'longTermRequest'].map((name) => bytes(vectors[name]))
    const bent = fc
      .tuple(fc.constantFrom(...honest), fc.array(fc.tuple(fc.nat(130), fc.nat(255)), { maxLength: 4 }), fc.nat(130))
      .map(([message, edits, length]) => {
        const made = message.slice(0, Math.max(4, length) & ~3)
        for (const [at, value] of edits) if (at < made.length) made[at] = value
        // So that lengths agree, and more than the first check is tried.
        made.set([(made.length - 20) >> 8, (made.length - 20) & 0xff], 2)
        return made
      })
    fc.assert(
      fc.property(fc.oneof(bent, fc.uint8Array({ maxLength: 80 })), (message) => {
        const read = decodeStun(message)
        if (read !== null) mappedAddressOf(read)
        hasIntegrity(message, key)
      }),
      { numRuns: process.env['NZ_FULL'] === '1' ? 300_000 : 5_000 },
    )
  })
})

/** No answer is waited for as long as a real network would have it. */
const hasty: Clock = { ...systemClock, setTimer: (delayMs, ...rest) => systemClock.setTimer(delayMs / 5, ...rest) }

describe('what a NAT does, by STUN', { concurrency: true }, () => {
  const signal = AbortSignal.timeout(60_000)
  const found = async (init: Omit<FakeStunServerInit, 'hosts'>, clock: Clock = systemClock): Promise<StunFinding> => {
    await using server = await fakeStunServer({ hosts: ['127.0.0.1', '127.0.0.2'], ...init })
    return await survey(server.address, { clock, random: systemRandom }, signal)
  }
  const nat =
    (portOf: (to: Endpoint) => number) =>
    (_from: Endpoint, to: Endpoint): Endpoint => ({ host: '45.0.0.7', port: portOf(to) })
  const kind = async (init: Omit<FakeStunServerInit, 'hosts'>, clock?: Clock): Promise<readonly string[]> => {
    const { state, mapping, filtering } = await found(init, clock)
    assert.equal(state, 'answered')
    return [mapping, filtering]
  }
  const isSame = (a: Endpoint, b: Endpoint): boolean => a.host === b.host && a.port === b.port

  it('no NAT', async () => assert.deepEqual(await kind({}), ['none', 'endpoint-independent']))
  it('one port for all, open to all', async () => {
    const { address } = await found({ seen: nat(() => 7) })
    assert.equal(address, '45.0.0.7:7')
    assert.deepEqual(await kind({ seen: nat(() => 7) }), ['endpoint-independent', 'endpoint-independent'])
  })
  it('a port for each address, open to addresses', async () =>
    assert.deepEqual(
      await kind({ seen: nat(({ host }) => Number(host.slice(-1))), isLetIn: (by, to) => by.host === to.host }, hasty),
      ['address-dependent', 'address-dependent'],
    ))
  it('a port for each address and port, open to nobody else', async () => {
    let next = 1
    const ports = new Map<string, number>()
    const portOf = ({ host, port }: Endpoint): number => {
      const id = `${host}:${port}`
      ports.set(id, ports.get(id) ?? (next += 1))
      return ports.get(id) ?? 0
    }
    assert.deepEqual(await kind({ seen: nat(portOf), isLetIn: isSame }, hasty), [
      'address-and-port-dependent',
      'address-and-port-dependent',
    ])
  })
  it('a server with one address tells where it sees this machine, and no more', async () =>
    assert.deepEqual(await kind({ seen: nat(() => 7), hasOther: false }), ['unknown', 'unknown']))
  it('a server that does not answer is silent', async () =>
    assert.equal((await found({ isLetIn: () => false }, hasty)).state, 'silent'))
  it('is asked of MAX_STUN_SERVERS', () => {
    const servers = Array.from({ length: MAX_STUN_SERVERS + 1 }, (_each, at) => `127.0.0.1:${at + 1}`)
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
    const report = new StunSurvey({ clock: systemClock, random: systemRandom, log }, servers).report()
    assert.deepEqual(
      report.map(({ server, state }) => [server, state]),
      servers.slice(0, MAX_STUN_SERVERS).map((server) => [server, 'trying']),
    )
  })
})
