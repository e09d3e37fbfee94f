/** Names of nodes: DNS messages byte by byte, what a resolver may say and what not, and the nodes behind a name. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError, seededRandom, systemClock, systemRandom } from '../../kernel/index.ts'
import {
  findNodes,
  MAX_DEPTH,
  MAX_FOUND,
  MAX_QUESTIONS,
  MAX_SERVICES,
  nameIn,
} from '../../modules/network/dns/node-names.ts'
import { DnsResolver, serverOf } from '../../modules/network/dns/resolver.ts'
import {
  canonicalName,
  decodeAnswer,
  encodeQuestion,
  MAX_ANSWERS,
  MAX_TXT_BYTES,
  TYPE,
} from '../../protocols/dns/message.ts'
import { dnsAnswer, fakeDnsServer, nameBytes, srv, txt } from '../fake/dns-server.ts'
import type { Ask } from '../../modules/network/dns/node-names.ts'
import type { Resource } from '../../protocols/dns/message.ts'
import type { Asked, Said } from '../fake/dns-server.ts'

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const signal = AbortSignal.timeout(60_000)
const [PEER, OTHER] = [
  '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA',
  '12D3KooWHHzSeKaY8xuZVzkLbKFfvNgPPeKhFBGrMbNzbm5akpqu',
]
const question = { id: 0x1234, name: 'example.org', type: TYPE.txt } as const

describe('a DNS message', () => {
  it('asks as RFC 1035 §4 draws it, with an option record (RFC 6891 §6.1.2) and the wish for AD', () =>
    assert.deepEqual(
      encodeQuestion(question),
      bytes('1234 0120 0001 0000 0000 0001 07 6578616d706c65 03 6f7267 00 0010 0001 00 0029 04d0 00000000 0000'),
    ))
  it('is read with compressed names', () => {
    const head = '1234 81a0 0001 0002 0000 0000 07 6578616d706c65 03 6f7267 00 0010 0001'
    const text = 'c00c 0010 0001 0000012c 0006 02 6162 02 6364'
    const service = '04 5f746370 c00c 0021 0001 0000012c 000b 0001 0002 0fa1 02 6e31 c00c'
    assert.deepEqual(decodeAnswer(bytes(`${head} ${text} ${service}`)), {
      id: 0x1234,
      code: 0,
      isTruncated: false,
      isAuthenticated: true,
      name: 'example.org',
      type: TYPE.txt,
      resources: [
        { type: 'txt', name: 'example.org', text: 'abcd' },
        { type: 'srv', name: '_tcp.example.org', priority: 1, weight: 2, port: 4_001, target: 'n1.example.org' },
      ],
    })
  })
  it('addresses of both families, and records it does not know', () => {
    const records = [
      { type: TYPE.a, data: bytes('c0000207') },
      { type: 99 as typeof TYPE.a, data: bytes('00') },
      { type: TYPE.aaaa, data: bytes('20010db8000000000000000000000001') },
    ]
    assert.deepEqual(decodeAnswer(dnsAnswer(question, { records }))?.resources, [
      { type: 'a', name: 'example.org', address: '192.0.2.7' },
      { type: 'aaaa', name: 'example.org', address: '2001:db8:0:0:0:0:0:1' },
    ])
  })
  it('names that lead round, forward or nowhere end the reading', () => {
    for (const name of ['c01d', 'c0ff', '01 61 c01d', '3f 61', '41 61'])
      assert.deepEqual(
        decodeAnswer(bytes(`1234 8180 0001 0001 0000 0000 07 6578616d706c65 03 6f7267 00 0010 0001 ${name}`))
          ?.resources,
        [],
      )
  })
  it('is bounded in its answers and the length of a text', () => {
    const many = Array.from({ length: MAX_ANSWERS + 5 }, () => txt('x'))
    assert.equal(decodeAnswer(dnsAnswer(question, { records: many }))?.resources.length, MAX_ANSWERS)
    const long = (total: number) => txt(...Array.from({ length: total / 128 }, () => 'x'.repeat(128)))
    assert.equal(decodeAnswer(dnsAnswer(question, { records: [long(MAX_TXT_BYTES)] }))?.resources.length, 1)
    assert.equal(decodeAnswer(dnsAnswer(question, { records: [long(MAX_TXT_BYTES + 128)] }))?.resources.length, 0)
  })
  it('takes no question for an answer, and no name that is none', () => {
    assert.equal(decodeAnswer(encodeQuestion(question)), null)
    for (const name of ['', '.', 'a..b', 'a b', 'a/b', `${'x'.repeat(64)}.org`, `${'x.'.repeat(130)}org`, 'ä.org'])
      assert.equal(canonicalName(name), null, name)
    assert.equal(canonicalName('_Dnsaddr.Example.ORG.'), '_dnsaddr.example.org')
  })
  it('reads or refuses any bytes', () => {
    const honest = dnsAnswer(question, { records: [txt('dnsaddr=/ip4/1.2.3.4/tcp/1'), srv('n1.example.org', 1)] })
    const bent = fc
      .array(fc.tuple(fc.nat(honest.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((edits) => {
        const made = honest.slice()
        for (const [at, value] of edits) made[at] = value
        return made
      })
    fc.assert(
      fc.property(fc.oneof(bent, fc.uint8Array({ maxLength: 120 })), (any) => {
        for (const each of decodeAnswer(any)?.resources ?? []) assert.notEqual(canonicalName(each.name), null)
      }),
      { numRuns: process.env['NZ_FULL'] === '1' ? 300_000 : 5_000 },
    )
  })
})

describe('asking a resolver', () => {
  const asking = async (
    answer: (asked: Asked) => readonly Uint8Array[],
    then: (resolver: DnsResolver, asked: readonly Asked[]) => Promise<void>,
  ): Promise<void> => {
    await using server = await fakeDnsServer(answer)
    const options = { servers: [server.address], https: null, timeoutMs: 20_000 }
    await then(new DnsResolver({ clock: systemClock, random: systemRandom }, options), server.asked)
  }
  const one = (said: Said) => (asked: Asked) => [dnsAnswer(asked, said)]

  it('gives the records, and says that they are authentic when a resolver of this machine says so', async () => {
    await asking(one({ records: [txt('a')], isAuthenticated: true }), async (resolver) =>
      assert.deepEqual(await resolver.resolve('Example.org', 'txt', signal), {
        resources: [{ type: 'txt', name: 'example.org', text: 'a' }],
        isAuthenticated: true,
      }),
    )
    await asking(one({ records: [txt('a')] }), async (resolver) =>
      assert.equal((await resolver.resolve('example.org', 'txt', signal)).isAuthenticated, false),
    )
  })
  it('asks the next resolver when one cuts its answer and the connection on which the rest would come', async () => {
    await using cutting = await fakeDnsServer((asked) =>
      asked.transport === 'udp' ? [dnsAnswer(asked, { isTruncated: true })] : [],
    )
    await using next = await fakeDnsServer(one({ records: [txt('a')] }))
    const resolver = new DnsResolver(
      { clock: systemClock, random: systemRandom },
      { servers: [cutting.address, next.address], https: null, timeoutMs: 20_000 },
    )
    assert.equal((await resolver.resolve('example.org', 'txt', signal)).resources.length, 1)
    assert.deepEqual(
      cutting.asked.map(({ transport }) => transport),
      ['udp', 'tcp'],
    )
  })
  it('passes over forged datagrams: of another number, another name, another type, or none at all', async () => {
    const forged = txt('forged')
    const forge = (asked: Asked): readonly Uint8Array[] => [
      dnsAnswer({ ...asked, id: asked.id ^ 1 }, { records: [forged] }),
      dnsAnswer({ ...asked, name: 'example.com' }, { records: [forged] }),
      dnsAnswer({ ...asked, type: TYPE.srv }, { records: [forged] }),
      Uint8Array.of(1, 2, 3),
      dnsAnswer(asked, { records: [txt('true')] }),
    ]
    await asking(forge, async (resolver) => {
      const { resources } = await resolver.resolve('example.org', 'txt', signal)
      assert.deepEqual(resources, [{ type: 'txt', name: 'example.org', text: 'true' }])
      assert.equal(resolver.mismatched, 4)
    })
  })
  it('asks over TCP when the answer did not fit', async () => {
    const records = Array.from({ length: 20 }, (_each, at) => txt(`${at}`.padEnd(100, 'x')))
    const answer = (asked: Asked) => [dnsAnswer(asked, asked.transport === 'udp' ? { isTruncated: true } : { records })]
    await asking(answer, async (resolver, asked) => {
      assert.equal((await resolver.resolve('example.org', 'txt', signal)).resources.length, 20)
      assert.deepEqual(
        asked.map(({ transport }) => transport),
        ['udp', 'tcp'],
      )
    })
  })
  it('a name that does not exist has no records; other codes are failures', async () => {
    await asking(one({ code: 3 }), async (resolver) =>
      assert.deepEqual((await resolver.resolve('example.org', 'txt', signal)).resources, []),
    )
    await asking(one({ code: 2 }), async (resolver) =>
      assert.rejects(resolver.resolve('example.org', 'txt', signal), (error) => isNzError(error, 'NZ_DNS_FAILED')),
    )
  })
  it('uses a new number for each question', async () => {
    await asking(one({}), async (resolver, asked) => {
      for (let at = 0; at < 8; at += 1) await resolver.resolve('example.org', 'txt', signal)
      assert.ok(new Set(asked.map(({ id }) => id)).size > 4)
    })
  })
  it('is bounded in time', async () => {
    await using server = await fakeDnsServer(() => [])
    const options = { servers: [server.address], https: null, timeoutMs: 50 }
    const resolver = new DnsResolver({ clock: systemClock, random: seededRandom(1) }, options)
    await assert.rejects(resolver.resolve('example.org', 'txt', signal), (error) => isNzError(error, 'NZ_DNS_FAILED'))
  })
  it('servers are spelled with and without a port', () => {
    assert.deepEqual(serverOf('192.0.2.1'), { host: '192.0.2.1', port: 53 })
    assert.deepEqual(serverOf('192.0.2.1:5353'), { host: '192.0.2.1', port: 5_353 })
    assert.deepEqual(serverOf('2001:db8::1'), { host: '2001:db8::1', port: 53 })
    assert.deepEqual(serverOf('[2001:db8::1]:5353'), { host: '2001:db8::1', port: 5_353 })
  })
})

describe('the nodes behind a name', () => {
  type Zone = Readonly<Record<string, readonly Resource[]>>
  const text = (...texts: readonly string[]): Resource[] =>
    texts.map((each) => ({ type: 'txt', name: 'x', text: `dnsaddr=${each}` }))
  const service = (target: string, port: number, priority = 0): Resource => ({
    type: 'srv',
    name: 'x',
    priority,
    weight: 0,
    port,
    target,
  })
  const asked: string[] = []
  const over =
    (zone: Zone, isAuthenticated = true): Ask =>
    async (name, type) => {
      asked.push(`${type} ${name}`)
      return await Promise.resolve({ resources: zone[name] ?? [], isAuthenticated })
    }
  const found = async (zone: Zone, peerId: string | null = PEER) => {
    asked.length = 0
    return await findNodes('example.org', peerId, { ask: over(zone), signal })
  }
  const direct = `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`

  it('are those its TXT records name; of one peer its own', async () => {
    const zone = { '_dnsaddr.example.org': text(direct, `/ip4/192.0.2.8/tcp/1/p2p/${OTHER}`) }
    assert.deepEqual(await found(zone), {
      addresses: [{ address: direct, peerId: PEER, source: 'txt' }],
      isAuthenticated: true,
      refused: 1,
    })
    assert.equal((await found(zone, null)).addresses.length, 2)
  })
  it('are those its SRV records lead to, the first in rank first', async () => {
    const zone: Zone = {
      '_nzcore._tcp.example.org': [service('b.example.org', 2, 5), service('a.example.org', 1)],
      'a.example.org': [
        { type: 'a', name: 'x', address: '192.0.2.1' },
        { type: 'aaaa', name: 'x', address: '2001:db8:0:0:0:0:0:1' },
      ],
      'b.example.org': [{ type: 'a', name: 'x', address: '192.0.2.2' }],
    }
    assert.deepEqual(
      (await found(zone)).addresses.map(({ address }) => address),
      ['/ip6/2001:db8::1/tcp/1', '/ip4/192.0.2.1/tcp/1', '/ip4/192.0.2.2/tcp/2'],
    )
    const many = Array.from({ length: MAX_SERVICES + 3 }, () => service('b.example.org', 2))
    assert.equal((await found({ ...zone, '_nzcore._tcp.example.org': many })).refused, 3)
  })
  it('may lie behind further names, MAX_DEPTH deep and never round', async () => {
    const zone: Record<string, readonly Resource[]> = {
      '_dnsaddr.example.org': text('/dnsaddr/n1.org', '/dnsaddr/example.org'),
    }
    for (let at = 1; at <= 6; at += 1)
      zone[`_dnsaddr.n${at}.org`] = text(`/dnsaddr/n${at + 1}.org`, `/ip4/192.0.2.${at}/tcp/1/p2p/${PEER}`)
    const { addresses, refused } = await found(zone)
    assert.equal(addresses.length, MAX_DEPTH - 1)
    assert.equal(refused, 1)
    assert.equal(new Set(asked).size, asked.length)
  })
  it('are asked for with MAX_QUESTIONS at most, and MAX_FOUND are kept', async () => {
    const wide = text(...Array.from({ length: 40 }, (_each, at) => `/dnsaddr/n${at}.org`))
    await assert.rejects(found({ '_dnsaddr.example.org': wide }), (error) => isNzError(error, 'NZ_DNS_NO_NODE'))
    assert.equal(asked.length, MAX_QUESTIONS)
    const many = text(...Array.from({ length: 40 }, (_each, at) => `/ip4/192.0.2.${at}/tcp/1/p2p/${PEER}`))
    assert.equal((await found({ '_dnsaddr.example.org': many })).addresses.length, MAX_FOUND)
  })
  it('without a peer, of another one, or of kinds no node listens at are refused', async () => {
    const zone = {
      '_dnsaddr.example.org': text(
        '/ip4/192.0.2.7/tcp/4001',
        `/ip4/192.0.2.7/tcp/4001/p2p/${OTHER}`,
        `/unix/%2Ftmp%2Fx/p2p/${PEER}`,
        `/ip4/192.0.2.7/udp/1/p2p/${PEER}`,
        `/dnsaddr/elsewhere.org/p2p/${OTHER}`,
        'nonsense',
      ),
    }
    await assert.rejects(found(zone), (error) => isNzError(error, 'NZ_DNS_NO_NODE') && error.data?.['refused'] === 6)
  })
  it('are authentic when each answer that led to them is', async () => {
    const ask: Ask = async (name) =>
      await Promise.resolve(
        name === '_dnsaddr.example.org'
          ? { resources: text('/dnsaddr/n1.org', direct), isAuthenticated: true }
          : { resources: name === '_dnsaddr.n1.org' ? text(direct) : [], isAuthenticated: false },
      )
    assert.equal((await findNodes('example.org', PEER, { ask, signal })).isAuthenticated, false)
  })
  it('are names of DNS', async () =>
    assert.rejects(findNodes('not a name', PEER, { ask: over({}), signal }), (error) =>
      isNzError(error, 'NZ_DNS_NAME_INVALID'),
    ))
  it('stand in addresses', () => {
    assert.deepEqual(nameIn(`/dnsaddr/example.org/p2p/${PEER}`), { name: 'example.org', peerId: PEER })
    assert.deepEqual(nameIn('/dnsaddr/example.org'), { name: 'example.org', peerId: null })
    assert.equal(nameIn(direct), null)
    assert.equal(nameBytes('a').length, 3)
  })
})
