/** Ports of routers: PCP and UPnP byte by byte as miniupnpd says them, routers that lie, and which protocol is asked when. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { seededRandom, systemClock, systemRandom } from '../../kernel/index.ts'
import { natPmpMapper, pcpMapper } from '../../modules/network/reach/port-mapper.ts'
import { PortMapping } from '../../modules/network/reach/port-mapping.ts'
import { UpnpMapper } from '../../modules/network/reach/upnp-mapper.ts'
import { decodeMapAnswer, encodeMap } from '../../protocols/portmapping/pcp.ts'
import { answerTo, controlIn, locationIn, MAX_SSDP_BYTES, search, SEARCHED } from '../../protocols/portmapping/upnp.ts'
import {
  elementsOf,
  escapeXml,
  MAX_DEPTH,
  MAX_ELEMENTS,
  MAX_XML_BYTES,
  parseXml,
} from '../../protocols/portmapping/xml.ts'
import { fakeUpnpRouter } from '../fake/upnp-router.ts'
import type { Clock } from '../../kernel/index.ts'
import type { MapOutcome, MapRequest, PortMapper } from '../../modules/network/reach/port-mapper.ts'
import type { FakeUpnpRouter, FakeUpnpRouterInit } from '../fake/upnp-router.ts'

const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/portmapping.json', import.meta.url), 'utf8'))
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const nonce = bytes(vectors.pcp.nonce)
const router = vectors.upnp.router as string
const signal = AbortSignal.timeout(60_000)
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

describe('PCP', () => {
  const asked = { nonce, clientAddress: '192.168.1.10', insidePort: 4_001, outsidePort: 4_001, lifetimeS: 20 }
  it('asks as RFC 6887 §11.1 draws it, and gives a port back without naming one outside', () => {
    assert.equal(hex(encodeMap(asked)), vectors.pcp.request)
    assert.equal(hex(encodeMap({ ...asked, lifetimeS: 0 })), vectors.pcp.removal)
  })
  it('reads what miniupnpd answers', () => {
    assert.deepEqual(decodeMapAnswer(bytes(vectors.pcp.mapped), nonce), {
      type: 'mapping',
      insidePort: 4_001,
      outsidePort: 4_001,
      outsideAddress: '45.0.0.200',
      lifetimeS: 20,
    })
    assert.deepEqual(decodeMapAnswer(bytes(vectors.pcp.addressMismatch), nonce), { type: 'refusal', result: 12 })
    assert.deepEqual(decodeMapAnswer(bytes(vectors.pcp.otherVersion), nonce), { type: 'refusal', result: 1 })
  })
  it('knows the answer of a router that speaks only NAT-PMP', () =>
    assert.deepEqual(decodeMapAnswer(bytes('0081000100000001'), nonce), { type: 'refusal', result: 1 }))
  it('takes nothing for an answer but one to its own nonce', () => {
    const mapped = bytes(vectors.pcp.mapped)
    assert.equal(decodeMapAnswer(mapped, nonce.toReversed()), null)
    assert.equal(decodeMapAnswer(encodeMap(asked), nonce), null)
    for (let length = 0; length < 60; length += 1) assert.equal(decodeMapAnswer(mapped.slice(0, length), nonce), null)
    assert.equal(decodeMapAnswer(new Uint8Array([...mapped, ...new Uint8Array(1_060)]), nonce), null)
  })
})

describe('the XML of routers', () => {
  it('is read to elements and text, without namespaces, comments and attributes', () => {
    const root = parseXml(
      '<?xml version="1.0"?><!-- n --><a:r x="1"><b> 1 &lt; &#50;<![CDATA[&]]> </b><b/><c></c></a:r>',
    )
    assert.deepEqual(root, {
      name: 'r',
      text: '',
      children: [
        { name: 'b', text: '1 < 2&', children: [] },
        { name: 'b', text: '', children: [] },
        { name: 'c', text: '', children: [] },
      ],
    })
    assert.equal(parseXml(`<t>${escapeXml('<&\'">')}</t>`)?.text, '<&\'">')
  })
  it('is refused with document types, when it is not closed, and when it is crooked', () => {
    for (const text of [
      '',
      'x',
      '<a>',
      '</a>',
      '<a></b>',
      '<a><b></a></b>',
      '<a/><b/>',
      '<a',
      '<!DOCTYPE a [<!ENTITY e "e">]><a>&e;</a>',
      '<a><!-- </a>',
      '<1/>',
    ])
      assert.equal(parseXml(text), null, text)
  })
  it('is bounded in length, depth and count', () => {
    const deep = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth)
    assert.ok(parseXml(deep(MAX_DEPTH)) !== null)
    assert.equal(parseXml(deep(MAX_DEPTH + 1)), null)
    assert.ok(parseXml(`<r>${'<a/>'.repeat(MAX_ELEMENTS - 1)}</r>`) !== null)
    assert.equal(parseXml(`<r>${'<a/>'.repeat(MAX_ELEMENTS)}</r>`), null)
    assert.ok(parseXml(`<r>${'x'.repeat(MAX_XML_BYTES - 7)}</r>`) !== null)
    assert.equal(parseXml(`<r>${'x'.repeat(MAX_XML_BYTES - 6)}</r>`), null)
  })
})

describe('UPnP', () => {
  const location = new URL(vectors.upnp.location)
  const found = (text: string): string | undefined => locationIn(Buffer.from(text), router)?.href
  it('finds in what miniupnpd says where calls go', () => {
    assert.equal(found(vectors.upnp.ssdp), location.href)
    assert.deepEqual(controlIn(vectors.upnp.description, location), vectors.upnp.control)
  })
  it('reads its answers and its errors', () => {
    const address = answerTo('GetExternalIPAddress', vectors.upnp.address)
    assert.equal(address?.state === 'done' && address.values.get('NewExternalIPAddress'), '45.0.0.200')
    const entry = answerTo('GetSpecificPortMappingEntry', vectors.upnp.entry)
    assert.equal(entry?.state === 'done' && entry.values.get('NewInternalClient'), '192.168.1.10')
    assert.deepEqual(answerTo('GetSpecificPortMappingEntry', vectors.upnp.fault), {
      state: 'fault',
      code: 714,
      text: 'NoSuchEntryInArray',
    })
    assert.equal(answerTo('AddPortMapping', vectors.upnp.address), null)
    assert.equal(answerTo('AddPortMapping', '<html></html>'), null)
  })
  it('believes no place but the router that answered', () => {
    const ssdp = vectors.upnp.ssdp as string
    for (const other of [
      'http://192.168.1.2/x',
      'https://192.168.1.1/',
      'http://a@192.168.1.1/',
      'http://router.lan/',
      'file:///etc/passwd',
      'http://192.168.1.1.example.org/',
      `http://192.168.1.1/${'x'.repeat(500)}`,
    ])
      assert.equal(found(ssdp.replace(location.href, other)), undefined, other)
    assert.equal(found(ssdp.replace(/^ST: .*$/im, 'ST: upnp:rootdevice')), undefined)
    assert.equal(found(ssdp.replace('200 OK', '404 No')), undefined)
    assert.equal(found(ssdp.replace('\r\n', `\r\nX: ${'x'.repeat(MAX_SSDP_BYTES)}\r\n`)), undefined)
    const description = vectors.upnp.description as string
    const elsewhere = description.replace(/<controlURL>\/ctl\/IPConn</, '<controlURL>http://192.168.1.2/ctl<')
    assert.notEqual(elsewhere, description)
    assert.equal(controlIn(elsewhere, location), null)
    // A base elsewhere is not followed; the paths are the router's.
    const based = description.replace('<device>', '<URLBase>http://192.168.1.2/</URLBase><device>')
    assert.equal(controlIn(based, location)?.host, router)
    assert.equal(elementsOf(parseXml(based) ?? assert.fail(), 'URLBase').length, 1)
  })
  it('searches as UPnP Device Architecture §1.3.2 writes it', () => {
    assert.match(
      search(SEARCHED[1]),
      /^M-SEARCH \* HTTP\/1\.1\r\nHOST: 239\.255\.255\.250:1900\r\nMAN: "ssdp:discover"\r\n/,
    )
    assert.match(search(SEARCHED[1]), /\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n$/)
  })
})

const request: MapRequest = {
  gateway: '127.0.0.1',
  clientAddress: '127.0.0.1',
  port: 4_001,
  outsidePort: 4_001,
  lifetimeS: 7_200,
}

const hasty: Clock = {
  ...systemClock,
  setTimer: (delayMs, ...rest) => systemClock.setTimer(delayMs / 20, ...rest),
}

describe('asking a UPnP router for a port', () => {
  const ask = async (
    init: FakeUpnpRouterInit,
    then?: (mapper: UpnpMapper, fake: FakeUpnpRouter) => Promise<void>,
  ): Promise<MapOutcome> => {
    await using fake = await fakeUpnpRouter(init)
    // Who is not answered waits for the whole of two searches.
    const clock = init.location === undefined ? systemClock : hasty
    const mapper = new UpnpMapper({ clock, random: seededRandom(1), ssdpPort: fake.ssdpPort })
    const outcome = await mapper.map(request, signal)
    await then?.(mapper, fake)
    return outcome
  }
  const mapped = { state: 'mapped', outsideAddress: '45.0.0.200', outsidePort: 4_001, lifetimeS: 7_200 } as const

  it('gets it, finds the router once, and gives the port back', async () => {
    const outcome = await ask({}, async (mapper, { table, calls }) => {
      assert.deepEqual(table.get(4_001), { client: '127.0.0.1', port: 4_001, leaseS: 7_200 })
      assert.deepEqual(await mapper.map(request, signal), mapped)
      await mapper.unmap(request, signal)
      assert.equal(table.size, 0)
      const once = ['GetExternalIPAddress', 'AddPortMapping', 'GetSpecificPortMappingEntry']
      assert.deepEqual(calls, [...once, ...once, 'DeletePortMapping'])
    })
    assert.deepEqual(outcome, mapped)
  })
  it('takes another port when that one is taken, and keeps and gives back the other', async () => {
    const faultOf = ({ outsidePort }: { outsidePort: number }): number | null => (outsidePort === 4_001 ? 718 : null)
    const outcome = await ask({ faultOf }, async (mapper, { table }) => {
      assert.equal(table.size, 1)
      await mapper.map(request, signal)
      assert.equal(table.size, 1)
      await mapper.unmap(request, signal)
      assert.equal(table.size, 0)
    })
    assert.ok(outcome.state === 'mapped' && outcome.outsidePort >= 10_000)
  })
  it('stops asking for other ports after a few', async () => {
    const outcome = await ask({ faultOf: () => 718 }, async (_mapper, { calls }) =>
      assert.equal(calls.filter((call) => call === 'AddPortMapping').length, 4),
    )
    assert.deepEqual(outcome, { state: 'refused', why: 'gives no port by UPnP: error 718' })
  })
  it('takes a mapping without an end from a router that has no others, and looks at it again', async () => {
    const faultOf = ({ leaseS }: { leaseS: number }): number | null => (leaseS === 0 ? null : 725)
    assert.deepEqual(await ask({ faultOf }), { ...mapped, lifetimeS: 600 })
  })
  it('says what the router says', async () =>
    assert.deepEqual(await ask({ faultOf: () => 606 }), {
      state: 'refused',
      why: 'gives no port by UPnP: error 606',
    }))
  for (const [what, init] of [
    ['a description elsewhere', { location: () => 'http://127.0.0.2:1/' }],
    ['calls elsewhere', { controlUrl: (port) => `http://127.0.0.2:${port}/` }],
    ['a description without an end', { describe: (text) => text + ' '.repeat(MAX_XML_BYTES) }],
    ['a document type', { describe: (text) => text.replace('<root', '<!DOCTYPE root><root') }],
    ['a redirection', { status: 302 }],
  ] as ReadonlyArray<readonly [string, FakeUpnpRouterInit]>)
    it(`does not follow a router to ${what}`, async () =>
      assert.deepEqual(await ask(init, async (_mapper, { calls }) => assert.deepEqual(calls, [])), { state: 'absent' }))
  it('an outside address that is none is no answer', async () =>
    assert.deepEqual(await ask({ outsideAddress: '<b/>' }), {
      state: 'refused',
      why: 'tells no outside address by UPnP',
    }))
})

describe('asking a router in datagrams', () => {
  /** Answers each datagram with what `answer` makes of it. */
  const asked = async (answer: (question: Buffer) => Uint8Array | null, mapper: PortMapper): Promise<MapOutcome> => {
    const socket = createSocket('udp4')
    socket.on('message', (question, from) => {
      const said = answer(question)
      if (said !== null) socket.send(said, from.port, from.address)
    })
    await once(socket.bind(0, '127.0.0.1'), 'listening')
    try {
      return await mapper.map({ ...request, gatewayPort: socket.address().port }, signal)
    } finally {
      socket.close()
    }
  }
  const services = { clock: systemClock, random: systemRandom }
  const pcpAnswer = (question: Buffer): Uint8Array => {
    const said = Buffer.from(bytes(vectors.pcp.mapped))
    question.copy(said, 24, 24, 36)
    return said
  }
  it('PCP: the router gives a port', async () =>
    assert.deepEqual(await asked(pcpAnswer, pcpMapper(services)), {
      state: 'mapped',
      outsideAddress: '45.0.0.200',
      outsidePort: 4_001,
      lifetimeS: 20,
    }))
  it('PCP: one that speaks NAT-PMP, and a closed port, are told at once', async () => {
    assert.deepEqual(await asked(() => bytes('0081000100000001'), pcpMapper(services)), { state: 'absent' })
    const closed = createSocket('udp4')
    await once(closed.bind(0, '127.0.0.1'), 'listening')
    const gatewayPort = closed.address().port
    closed.close()
    assert.deepEqual(await pcpMapper(services).map({ ...request, gatewayPort }, signal), { state: 'absent' })
  })
  it('PCP: a refusal', async () =>
    assert.deepEqual(
      await asked((question) => {
        const said = Buffer.from(pcpAnswer(question))
        said[3] = 8
        return said
      }, pcpMapper(services)),
      { state: 'refused', why: 'gives no port by PCP: result 8' },
    ))
  it('NAT-PMP: address and port, and a refusal', async () => {
    const answer = (result: string) => (question: Buffer) =>
      question[1] === 0 ? bytes('00800000000000012d0000c8') : bytes(`0082${result}000000010fa10fa200000e10`)
    assert.deepEqual(await asked(answer('0000'), natPmpMapper(services)), {
      state: 'mapped',
      outsideAddress: '45.0.0.200',
      outsidePort: 4_002,
      lifetimeS: 3_600,
    })
    assert.deepEqual(await asked(answer('0002'), natPmpMapper(services)), {
      state: 'refused',
      why: 'gives no port by NAT-PMP: result 2',
    })
  })
})

describe('keeping a port of the router', () => {
  const keeping = (outcomes: Partial<Record<PortMapper['protocol'], MapOutcome>>) => {
    const calls: string[] = []
    const mapper = (protocol: PortMapper['protocol']): PortMapper => ({
      protocol,
      name: protocol.toUpperCase(),
      map: async () => {
        calls.push(protocol)
        return await Promise.resolve(outcomes[protocol] ?? { state: 'absent' as const })
      },
      unmap: async ({ outsidePort }) => void calls.push(`${protocol} gives ${await Promise.resolve(outsidePort)} back`),
    })
    const mapping = new PortMapping(
      {
        clock: systemClock,
        random: systemRandom,
        log: silent,
        port: () => 4_001,
        gateway: async () => await Promise.resolve('127.0.0.1'),
        mappers: [mapper('upnp'), mapper('nat-pmp'), mapper('pcp')],
      },
      { protocols: ['pcp', 'nat-pmp', 'upnp'], lifetimeS: 7_200 },
    )
    return { mapping, calls }
  }
  const settled = async (mapping: PortMapping): Promise<PortMapping['state']> => {
    mapping.start()
    while (mapping.state.state === 'trying') await new Promise(setImmediate)
    const { state } = mapping
    await mapping.stop()
    return state
  }
  const given = { state: 'mapped', outsideAddress: '45.0.0.200', outsidePort: 5_000, lifetimeS: 7_200 } as const

  it('asks by one protocol after the other until one gives it, and gives it back by that', async () => {
    const { mapping, calls } = keeping({ 'nat-pmp': given, upnp: given })
    assert.deepEqual(await settled(mapping), {
      state: 'mapped',
      protocol: 'nat-pmp',
      address: '/ip4/45.0.0.200/tcp/5000',
      why: 'the router maps the port by NAT-PMP',
    })
    assert.deepEqual(calls, ['pcp', 'nat-pmp', 'nat-pmp gives 5000 back'])
  })
  it('says that the router speaks none, or why it refuses', async () => {
    assert.match((await settled(keeping({}).mapping)).why, /speaks neither PCP nor NAT-PMP nor UPNP/)
    const { mapping } = keeping({ pcp: { state: 'refused', why: 'gives no port by PCP: result 2' } })
    assert.equal((await settled(mapping)).why, 'the router gives no port by PCP: result 2')
  })
  it('an outside address that is private is no way in; the port is given back all the same', async () => {
    const { mapping, calls } = keeping({ pcp: { ...given, outsideAddress: '100.64.0.7' } })
    const { state, why } = await settled(mapping)
    assert.deepEqual([state, why], ['failed', 'the router is itself behind a NAT: its outside address is private'])
    assert.deepEqual(calls, ['pcp', 'pcp gives 5000 back'])
  })
})
