/** Other ways to be placed: a router that maps ports, NATs behind NATs, IPv6 alone, a relay that dies, a bad link. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startBehind, startRelays } from './grid.ts'
import { Lab } from './lab.ts'
import { LabPeer, until } from './peer.ts'
import { hasProgram, whyNoLab } from './system.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the topologies are skipped: ${why}\n`)
const internet = { internet: { subnet: '45.0.0.0/24' } }

describe('peers in odd places', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  const mapped = hasProgram('miniupnpd') ? {} : { skip: 'miniupnpd is not installed' }

  it(
    'routers map the port: by PCP, NAT-PMP, UPnP; renewed; given back; reached through symmetric NATs',
    mapped,
    async () => {
      const ways = ['pcp', 'nat-pmp', 'upnp'] as const
      await using lab = await Lab.open({
        segments: {
          ...internet,
          ...Object.fromEntries(ways.map((way, at) => [`home-${way}`, { subnet: `192.168.${at}.0/24` }])),
        },
        nats: Object.fromEntries(
          ways.map((way) => [
            `box-${way}`,
            {
              inside: `home-${way}`,
              outside: 'internet',
              kind: 'symmetric',
              hasPortMapping: way === 'upnp' ? 'upnp' : true,
            },
          ]),
        ),
        hosts: {
          server: { on: 'internet' },
          ...Object.fromEntries(ways.map((way) => [`client-${way}`, { on: `home-${way}` }])),
        },
      })
      const server = await LabPeer.start(lab, 'server')
      // NAT-PMP is asked for alone: the router speaks PCP, too. With UPnP the other two are tried in vain first.
      const clients = await Promise.all(
        ways.map(async (way) => {
          const portMappingBy = way === 'nat-pmp' ? ['nat-pmp' as const] : [...ways]
          return await LabPeer.start(lab, `client-${way}`, { portMapping: true, portMappingBy, portMappingSeconds: 20 })
        }),
      )
      for (const [at, client] of clients.entries()) {
        const way = ways[at] ?? assert.fail()
        const { portMapping, verdict } = await until(
          async () => await client.reachability(),
          (answer) => answer.portMapping?.state === 'mapped',
        )
        assert.equal(portMapping?.address, `/ip4/${lab.address(`box-${way}`, 'internet')}/tcp/4001`)
        assert.equal(portMapping?.protocol, way)
        assert.equal(verdict, 'direct')
        await server.connect(client, await client.addresses())
        assert.equal((await server.peer(client))?.paths[0]?.transport, 'tcp')
      }
      // 20 s are asked for and given: without renewal the mappings would be gone within them.
      const endMs = performance.now() + 24_000
      while (performance.now() < endMs) {
        for (const way of ways) assert.equal(lab.portMappings(`box-${way}`).length, 1, way)
        await new Promise((resolve) => setTimeout(resolve, 1_000))
      }
      await Promise.all(clients.map(async (client) => await client.stop()))
      for (const way of ways) assert.deepEqual(lab.portMappings(`box-${way}`), [], way)
    },
  )

  it('NATs behind NATs on both sides: connected within the relay, then directly', async () => {
    await using lab = await Lab.open({
      segments: {
        ...internet,
        'isp-a': { subnet: '100.64.1.0/24' },
        'isp-b': { subnet: '100.64.2.0/24' },
        'home-a': { subnet: '192.168.1.0/24' },
        'home-b': { subnet: '192.168.1.0/24' },
      },
      nats: {
        'outer-a': { inside: 'isp-a', outside: 'internet', kind: 'port-restricted' },
        'outer-b': { inside: 'isp-b', outside: 'internet', kind: 'port-restricted' },
        'inner-a': { inside: 'home-a', outside: 'isp-a', kind: 'port-restricted', hasPortMapping: true },
        'inner-b': { inside: 'home-b', outside: 'isp-b', kind: 'port-restricted' },
      },
      hosts: {
        'relay-1': { on: 'internet' },
        'relay-2': { on: 'internet' },
        a: { on: 'home-a' },
        c: { on: 'home-a' },
        b: { on: 'home-b' },
      },
    })
    const { use } = await startRelays(lab)
    const a = await startBehind(lab, 'a', use)
    const b = await startBehind(lab, 'b', use)
    const told = await a.reachability()
    assert.deepEqual([told.verdict, told.mapping], ['punchable', 'endpoint-independent'])
    assert.match(told.observed[0] ?? '', new RegExp(`^/ip4/${lab.address('outer-a', 'internet')}/tcp/`))
    const tookMs = await a.connect(b, await b.addresses())
    process.stdout.write(`double NAT on both sides: connected in ${tookMs.toFixed(0)} ms\n`)
    await until(
      async () => await a.peer(b),
      (peer) => peer?.paths[0]?.transport === 'tcp',
    )
    assert.equal(await a.echo(b, 100_000), 100_000)
    // The inner router would give a port, to which nothing from outside can come.
    const c = await LabPeer.start(lab, 'c', { portMapping: true })
    const { portMapping } = await until(
      async () => await c.reachability(),
      (answer) => answer.portMapping?.state === 'failed',
    )
    assert.match(portMapping?.why ?? '', /^the router .*tells no outside address/)
  })

  it('IPv6 alone: connected directly', async () => {
    await using lab = await Lab.open({
      segments: { west: { subnet6: '2a0e:1::/64' }, east: { subnet6: '2a0e:2::/64' } },
      routers: { core: { on: ['west', 'east'] } },
      hosts: { a: { on: 'west' }, b: { on: 'east' } },
    })
    const a = await LabPeer.start(lab, 'a')
    const b = await LabPeer.start(lab, 'b')
    await a.connect(b, await b.addresses())
    assert.match((await a.peer(b))?.paths[0]?.address ?? '', /^\/ip6\/2a0e:2::/)
    const { verdict, observed } = await until(
      async () => await b.reachability(),
      (answer) => answer.verdict !== 'unknown',
    )
    assert.equal(verdict, 'direct')
    assert.deepEqual(observed, [])
    assert.equal(await a.echo(b, 100_000), 100_000)
  })
})
