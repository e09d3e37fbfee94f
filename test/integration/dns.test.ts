/** Peers reached by name, over a DNS server on loopback: two real nodes, true records, forged ones, and none. */
import assert from 'node:assert/strict'
import { createServer } from 'node:https'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { certificate, key } from '../../bench/transports/tls-certificate.ts'
import { isNzError, systemClock, systemRandom } from '../../kernel/index.ts'
import { DnsResolver } from '../../modules/network/dns/resolver.ts'
import { TYPE } from '../../protocols/dns/message.ts'
import { dnsAnswer, fakeDnsServer, srv, txt } from '../fake/dns-server.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { AddressInfo } from 'node:net'
import type { Said } from '../fake/dns-server.ts'

const signal = AbortSignal.timeout(120_000)

describe('a peer at a name', () => {
  const zone = new Map<string, NonNullable<Said['records']>>()
  const served = async () =>
    await fakeDnsServer((asked) => [
      dnsAnswer(asked, { records: (zone.get(asked.name) ?? []).filter(({ type }) => type === asked.type) }),
    ])
  const nodes = async (server: string) => ({
    desk: await startNetworkNode({
      config: { dns: { servers: [server], timeoutMs: 10_000 }, listen: [] },
    }),
    laptop: await startNetworkNode(),
    stranger: await startNetworkNode(),
  })
  const tcpOf = (addresses: readonly string[]): string =>
    addresses.find((address) => /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\//.test(address)) ?? assert.fail(addresses.join())

  it('is reached by TXT, by SRV and through further names; whoever else answers is refused', async () => {
    await using server = await served()
    const { desk, laptop, stranger } = await nodes(server.address)
    await using _desk = desk
    await using _laptop = laptop
    await using _stranger = stranger
    const { peerId } = laptop.network
    const at = tcpOf(laptop.network.addresses())
    const strangerAt = tcpOf(stranger.network.addresses())
    const connect = async () =>
      await desk.network.connect(peerId, { addresses: [`/dnsaddr/node.example/p2p/${peerId}`], signal })
    const fails = async (code: string, ledger: string): Promise<void> => {
      await assert.rejects(connect(), (error) => isNzError(error, 'NZ_NETWORK_UNREACHABLE'))
      assert.equal(desk.network.attempts(peerId).at(-1)?.code, ledger, code)
    }

    // Nothing at the name, then records of somebody else, then a forged one that names the peer at the stranger's address.
    await fails('no record', 'NZ_DNS_NO_NODE')
    zone.set('_dnsaddr.node.example', [txt(`dnsaddr=${strangerAt}`)])
    await fails('of another peer', 'NZ_DNS_NO_NODE')
    const forged = strangerAt.replace(/\/p2p\/.*/, `/p2p/${peerId}`)
    zone.set('_dnsaddr.node.example', [txt(`dnsaddr=${forged}`)])
    await fails('forged', 'NZ_NETWORK_WRONG_PEER')
    assert.equal(stranger.network.peers().filter(({ state }) => state === 'connected').length, 0)

    zone.set('_dnsaddr.node.example', [txt('dnsaddr=/dnsaddr/further.example')])
    zone.set('_dnsaddr.further.example', [txt(`dnsaddr=${at}`)])
    assert.equal((await connect()).paths[0]?.address, at)
    const found = await desk.network.findByName('node.example', { signal })
    assert.deepEqual(found, {
      addresses: [{ address: at, peerId, source: 'txt' }],
      isAuthenticated: false,
      refused: 0,
    })
    await desk.network.disconnect(peerId, { signal })

    zone.clear()
    zone.set('_nzcore._tcp.node.example', [srv('host.example', Number(at.split('/')[4]))])
    zone.set('host.example', [{ type: TYPE.a, data: Uint8Array.of(127, 0, 0, 1) }])
    assert.equal((await desk.network.findByName('node.example', { signal })).addresses[0]?.source, 'srv')
    await connect()
    assert.equal(desk.network.peer(peerId)?.state, 'connected')
  })
})

describe('a resolver over HTTPS', () => {
  const answered = async (
    answer: (question: Buffer) => { readonly status?: number; readonly body: Uint8Array },
    tls: { readonly ca?: string; readonly servername?: string } = { ca: certificate, servername: 'bench' },
  ) => {
    const server = createServer({ key, cert: certificate }, (request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        const { status = 200, body } = answer(Buffer.concat(parts))
        response.writeHead(status, { 'content-type': 'application/dns-message', location: '/elsewhere' }).end(body)
      })
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const https = `https://127.0.0.1:${port}/dns-query`
    const resolver = new DnsResolver(
      { clock: systemClock, random: systemRandom },
      { servers: [], https, timeoutMs: 20_000, tls },
    )
    try {
      return await resolver.resolve('example.org', 'txt', signal)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }
  const asked = { id: 0, name: 'example.org', type: TYPE.txt }
  const honest = dnsAnswer(asked, { records: [txt('a')], isAuthenticated: true })
  const isFailure = (error: unknown): boolean => isNzError(error, 'NZ_DNS_FAILED')

  it('is asked by POST; its word on DNSSEC counts', async () =>
    assert.deepEqual(await answered(() => ({ body: honest })), {
      resources: [{ type: 'txt', name: 'example.org', text: 'a' }],
      isAuthenticated: true,
    }))
  it('is not believed without its certificate, or with another name', async () => {
    await assert.rejects(
      answered(() => ({ body: honest }), {}),
      isFailure,
    )
    await assert.rejects(
      answered(() => ({ body: honest }), { ca: certificate }),
      isFailure,
    )
  })
  it('is not followed elsewhere, not read without end, and not believed about another name', async () => {
    for (const answer of [
      { status: 302, body: honest },
      { body: Buffer.alloc(70_000) },
      { body: dnsAnswer({ ...asked, name: 'example.com' }, { records: [txt('a')] }) },
    ])
      await assert.rejects(
        answered(() => answer),
        isFailure,
      )
  })
})
