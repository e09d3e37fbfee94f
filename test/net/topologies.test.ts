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

  it('a router maps the port: reached directly through a symmetric NAT; renewed; given back', mapped, async () => {
    await using lab = await Lab.open({
      segments: { ...internet, home: { subnet: '192.168.1.0/24' } },
      nats: { box: { inside: 'home', outside: 'internet', kind: 'symmetric', hasPortMapping: true } },
      hosts: { server: { on: 'internet' }, client: { on: 'home' } },
    })
    const client = await LabPeer.start(lab, 'client', { portMapping: true })
    const server = await LabPeer.start(lab, 'server')
    const { portMapping, verdict } = await until(
      async () => await client.reachability(),
      (answer) => answer.portMapping?.state === 'mapped',
    )
    assert.equal(portMapping?.address, `/ip4/${lab.address('box', 'internet')}/tcp/4001`)
    assert.equal(verdict, 'direct')
    await server.connect(client, await client.addresses())
    assert.equal((await server.peer(client))?.paths[0]?.transport, 'tcp')
    // The lab's router gives 20 s at most: without renewal the mapping would be gone within them.
    const endMs = performance.now() + 24_000
    while (performance.now() < endMs) {
      assert.equal(lab.portMappings('box').length, 1)
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }
    await client.stop()
    assert.deepEqual(lab.portMappings('box'), [])
  })

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
        'inner-a': { inside: 'home-a', outside: 'isp-a', kind: 'port-restricted' },
        'inner-b': { inside: 'home-b', outside: 'isp-b', kind: 'port-restricted' },
      },
      hosts: {
        'relay-1': { on: 'internet' },
        'relay-2': { on: 'internet' },
        a: { on: 'home-a' },
        b: { on: 'home-b' },
      },
    })
    const { use } = await startRelays(lab)
    const a = await startBehind(lab, 'a', use)
    const b = await startBehind(lab, 'b', use)
    assert.equal((await a.reachability()).verdict, 'punchable')
    await a.connect(b, await b.addresses())
    await until(
      async () => await a.peer(b),
      (peer) => peer?.paths[0]?.transport === 'tcp',
    )
    assert.equal(await a.echo(b, 100_000), 100_000)
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
    assert.equal(await a.echo(b, 100_000), 100_000)
  })
})
