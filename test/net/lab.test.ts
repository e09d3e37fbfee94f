/** The test network is what it says: each NAT is measured from outside and inside, links do what they are told. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { Lab, sweep } from './lab.ts'
import { behaviourOf, measureTcp, measureUdp, Probe } from './probe.ts'
import { hasProgram, whyNoLab } from './system.ts'
import { planOf } from './topology.ts'
import type { NatKind, Topology } from './topology.ts'

const why = whyNoLab()
const options = why === null ? {} : { skip: `no test network: ${why}` }
if (why !== null) process.stdout.write(`test/net is skipped: ${why}\n`)

const kinds: readonly NatKind[] = ['full-cone', 'address-restricted', 'port-restricted', 'symmetric']
const PORTS = [7_001, 7_002] as const

describe('the NATs of the test network', options, () => {
  let lab: Lab
  const probes = new Map<string, Probe>()
  const probe = (machine: string): Probe => probes.get(machine) ?? assert.fail(machine)
  const outside = () =>
    [
      { probe: probe('near'), address: lab.address('near') },
      { probe: probe('far'), address: lab.address('far') },
    ] as const

  before(async () => {
    lab = await Lab.open({
      segments: {
        west: { subnet: '45.0.1.0/24' },
        east: { subnet: '45.0.2.0/24' },
        ...Object.fromEntries(kinds.map((_kind, at) => [`lan${at}`, { subnet: `10.0.${at}.0/24` }])),
      },
      routers: { core: { on: ['west', 'east'] } },
      nats: Object.fromEntries(kinds.map((kind, at) => [kind, { inside: `lan${at}`, outside: 'west', kind }])),
      hosts: {
        near: { on: 'west' },
        far: { on: 'east' },
        ...Object.fromEntries(kinds.map((_kind, at) => [`in${at}`, { on: `lan${at}` }])),
      },
    } as Topology)
    const machines = ['near', 'far', ...kinds.map((_kind, at) => `in${at}`)]
    await Promise.all(machines.map(async (machine) => probes.set(machine, await Probe.start(lab, machine))))
    for (const name of ['near', 'far']) {
      for (const port of PORTS) {
        await probe(name).ask({ ask: 'udpOpen', port })
        await probe(name).ask({ ask: 'tcpListen', port, host: '0.0.0.0' })
      }
    }
  })
  after(async () => await lab?.[Symbol.asyncDispose]())

  it('lead from one subnet to the other', async () => {
    assert.equal(
      await probe('far')
        .seenByTcp(0, `${lab.address('near')}:${PORTS[0]}`)
        .then(hostOf),
      lab.address('far'),
    )
  })

  for (const [at, kind] of kinds.entries()) {
    it(`${kind}: UDP is mapped and filtered so`, async () => {
      assert.deepEqual(await measureUdp(probe(`in${at}`), outside(), { port: 5_000, ports: PORTS }), behaviourOf[kind])
    })
    it(`${kind}: what is inside is seen under the address of the NAT`, async () => {
      const seen = await probe(`in${at}`).seenByTcp(0, `${lab.address('far')}:${PORTS[0]}`)
      assert.equal(hostOf(seen), lab.address(kind, 'west'))
    })
  }

  it('map and filter TCP as their names say', async () => {
    const measured = await Promise.all(
      kinds.map(async (_kind, at) => await measureTcp(probe(`in${at}`), outside(), { port: 5_100, ports: PORTS })),
    )
    assert.deepEqual(Object.fromEntries(kinds.map((kind, at) => [kind, measured[at]])), behaviourOf)
  })
})

describe('two NATs one behind the other, and IPv6', options, () => {
  it('double NAT: the outer one is seen; IPv6 is not translated', async () => {
    await using lab = await Lab.open({
      segments: {
        internet: { subnet: '45.0.0.0/24', subnet6: '2a0e:1::/64' },
        carrier: { subnet: '100.64.0.0/24' },
        home: { subnet: '192.168.1.0/24' },
        six: { subnet6: '2a0e:6::/64' },
      },
      routers: { core: { on: ['internet', 'six'] } },
      nats: {
        outer: { inside: 'carrier', outside: 'internet', kind: 'port-restricted' },
        inner: { inside: 'home', outside: 'carrier', kind: 'symmetric' },
      },
      hosts: { server: { on: 'internet' }, client: { on: 'home' }, modern: { on: 'six' } },
    })
    const [server, client, modern] = await Promise.all(
      ['server', 'client', 'modern'].map(async (name) => await Probe.start(lab, name)),
    )
    await server?.ask({ ask: 'tcpListen', port: PORTS[0], host: '::' })
    const seen = await client?.seenByTcp(0, `${lab.address('server')}:${PORTS[0]}`)
    assert.equal(hostOf(seen), lab.address('outer', 'internet'))
    const seen6 = await modern?.seenByTcp(0, `[${lab.address6('server')}]:${PORTS[0]}`)
    assert.equal(hostOf(seen6), lab.address('modern'))
  })
})

describe('a NAT that maps ports when asked', options, () => {
  const isThere = hasProgram('miniupnpd')
  const mapped = isThere ? {} : { skip: 'no port mapping: miniupnpd is not installed' }

  it('makes a mapping by NAT-PMP, shows it, lets in through it, and removes it', mapped, async () => {
    await using lab = await Lab.open({
      segments: { internet: { subnet: '45.0.0.0/24' }, home: { subnet: '192.168.1.0/24' } },
      nats: { box: { inside: 'home', outside: 'internet', kind: 'port-restricted', hasPortMapping: true } },
      hosts: { server: { on: 'internet' }, client: { on: 'home' } },
    })
    const server = await Probe.start(lab, 'server')
    const client = await Probe.start(lab, 'client')
    await client.ask({ ask: 'tcpListen', port: 0x1310, host: '0.0.0.0' })
    await client.ask({ ask: 'udpOpen', port: 5_000 })
    // RFC 6886 §3.3: version, opcode, two zeros, inside port, outside port, lifetime; here all bytes are plain text.
    const ask = async (lifetime: string): Promise<void> => {
      const text = `\0\u0002\0\0\u0013\u0010\u0013\u0010${lifetime}`
      await client.ask({ ask: 'udpSend', port: 5_000, to: `${lab.address('box', 'home')}:5351`, text })
      await client.ask({ ask: 'udpReceived', text: '\0' })
    }
    assert.deepEqual(lab.portMappings('box'), [])
    await ask('\0\0\u000e\u0010')
    assert.equal(lab.portMappings('box').length, 1)
    const outside = `${lab.address('box', 'internet')}:${0x1310}`
    assert.equal(hostOf(await server.seenByTcp(0, outside)), lab.address('server'))
    await ask('\0\0\0\0')
    assert.deepEqual(lab.portMappings('box'), [])
  })
})

describe('the impairment box', options, () => {
  const isBuilt = hasProgram('g++')
  const boxed = isBuilt ? {} : { skip: 'no impairment box: no compiler g++' }

  it('delays, loses, duplicates and reorders as told', boxed, async () => {
    await using lab = await Lab.open({
      segments: { lan: { subnet: '10.9.0.0/24' } },
      hosts: { a: { on: 'lan', impairment: { delayMs: 40 } }, b: { on: 'lan' } },
    })
    const [a, b] = await Promise.all(['a', 'b'].map(async (name) => await Probe.start(lab, name)))
    if (a === undefined || b === undefined) return assert.fail()
    await a.ask({ ask: 'udpOpen', port: 5_000 })
    await b.ask({ ask: 'udpOpen', port: PORTS[0] })
    const target = `${lab.address('b')}:${PORTS[0]}`
    await a.seenByUdp(5_000, target)
    const begunMs = performance.now()
    await a.seenByUdp(5_000, target)
    // Never sooner than told; how much later is the machine's affair.
    assert.ok(performance.now() - begunMs >= 80)

    // In batches that a receiver which gets no time to run still has room for, each followed by marks until one arrives.
    const flood = async (count: number): Promise<readonly number[]> => {
      const arrived: number[] = []
      for (let at = 0; at < count; at += 1) {
        await a.ask({ ask: 'udpSend', port: 5_000, to: target, text: `n ${at}` })
        if (at % 80 < 79 && at < count - 1) continue
        for (let copy = 0; copy < 40; copy += 1)
          await a.ask({ ask: 'udpSend', port: 5_000, to: target, text: `mark ${at}.` })
        const received = (await b.ask({ ask: 'udpReceived', text: `mark ${at}.` })) as readonly { text: string }[]
        arrived.push(...received.flatMap(({ text }) => (text.startsWith('n ') ? [Number(text.slice(2))] : [])))
      }
      return arrived
    }
    await lab.impair('a', { lossPercent: 25, lossBurst: 4, seed: 7 })
    const left = await flood(800)
    assert.ok(left.length > 480 && left.length < 720, `${left.length} of 800 were left by 25 % loss`)
    const runs = lostRuns(left, 800)
    const meanRun = (800 - left.length) / runs
    assert.ok(meanRun > 2 && meanRun < 8, `losses came ${meanRun} at a time`)

    await lab.impair('a', { duplicatePercent: 20 })
    const doubled = await flood(400)
    assert.ok(doubled.length > 420 && doubled.length < 560, `${doubled.length} of 400 with 20 % duplicates`)
    assert.equal(new Set(doubled).size, 400)

    await lab.impair('a', { delayMs: 30, reorderPercent: 10 })
    const early = [await flood(400)].map((order) => order.filter((n, at) => n < (order[at - 1] ?? -1)).length)
    assert.ok((early[0] ?? 0) > 0, 'nothing was overtaken')
  })

  it('narrows the pipe', boxed, async () => {
    await using lab = await Lab.open({
      segments: { lan: { subnet: '10.9.0.0/24' } },
      hosts: { a: { on: 'lan', impairment: { kbitPerSecond: 800 } }, b: { on: 'lan' } },
    })
    const [a, b] = await Promise.all(['a', 'b'].map(async (name) => await Probe.start(lab, name)))
    await a?.ask({ ask: 'udpOpen', port: 5_000 })
    await b?.ask({ ask: 'udpOpen', port: PORTS[0] })
    const to = `${lab.address('b')}:${PORTS[0]}`
    const begunMs = performance.now()
    // 20 frames of 1,042 bytes are 208 ms at 800 kbit/s.
    for (let at = 0; at < 20; at += 1) await a?.ask({ ask: 'udpSend', port: 5_000, to, text: 'x'.repeat(1_000) })
    await a?.ask({ ask: 'udpSend', port: 5_000, to, text: 'end' })
    await b?.ask({ ask: 'udpReceived', text: 'end' })
    assert.ok(performance.now() - begunMs >= 200)
  })
})

describe('a lab', options, () => {
  it('leaves nothing, and what a killed process has left the next one removes', async () => {
    const code = `
      const { Lab } = await import(${JSON.stringify(new URL('lab.ts', import.meta.url).href)})
      const lab = await Lab.open({ segments: { lan: { subnet: '10.8.0.0/24' } }, hosts: { a: { on: 'lan' } } })
      lab.spawn('a', 'sleep', ['600'])
      process.kill(process.pid, 'SIGKILL')`
    const killed = spawnSync(process.execPath, ['--input-type=module', '-e', code])
    assert.equal(killed.signal, 'SIGKILL')
    const left = (): readonly string[] =>
      readdirSync('/run/netns').filter((name) => name.startsWith(`nzlab-${killed.pid}-`))
    assert.equal(left().length, 2)
    sweep()
    assert.deepEqual(left(), [])
    const lab = await Lab.open({ segments: { lan: { subnet: '10.8.0.0/24' } }, hosts: { a: { on: 'lan' } } })
    await lab[Symbol.asyncDispose]()
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.startsWith(`nzlab-${process.pid}-`)),
      [],
    )
  })
})

describe('a topology', () => {
  const lan = { lan: { subnet: '10.0.0.0/24' } }
  for (const [what, topology, message] of [
    [
      'a name used twice',
      { segments: lan, hosts: { a: { on: 'lan' } }, routers: { a: { on: ['lan', 'lan'] } } },
      /twice/,
    ],
    ['a segment that is not there', { segments: lan, hosts: { a: { on: 'wan' } } }, /no segment/],
    ['a segment without addresses', { segments: { lan: {} }, hosts: { a: { on: 'lan' } } }, /no subnet/],
    [
      'two gateways',
      {
        segments: { ...lan, wan: { subnet: '45.0.0.0/24' } },
        hosts: {},
        nats: {
          a: { inside: 'lan', outside: 'wan', kind: 'symmetric' },
          b: { inside: 'lan', outside: 'wan', kind: 'symmetric' },
        },
      },
      /two gateways/,
    ],
    ['a name that is no name', { segments: lan, hosts: { 'a b': { on: 'lan' } } }, /not a name/],
  ] as const satisfies ReadonlyArray<readonly [string, Topology, RegExp]>)
    it(`is refused with ${what}`, () => assert.throws(() => planOf(topology), message))
})

function hostOf(address: string | null | undefined): string {
  return address?.slice(0, address.lastIndexOf(':')) ?? ''
}

function lostRuns(left: readonly number[], total: number): number {
  const arrived = new Set(left)
  let runs = 0
  for (let at = 0; at < total; at += 1) if (!arrived.has(at) && (at === 0 || arrived.has(at - 1))) runs += 1
  return runs
}
