/**
 * Peers that cannot be reached, each for another reason that the topology makes: `nzcore why` names that reason and one
 * next step, word for word; `nzcore doctor` says what of it lies at the machine it runs on.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { freshKey } from '../fake/network-node.ts'
import { LabDaemon } from './daemon.ts'
import { Lab } from './lab.ts'
import { until } from './peer.ts'
import { whyNoLab } from './system.ts'
import type { Diagnosis } from './daemon.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the verdicts on peers out of reach are skipped: ${why}\n`)

const launcher = resolve(import.meta.dirname, '../../cli/nzcore.js')
/** What answers there speaks HTTP. */
const STRANGER = `
  require('node:net')
    .createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\\r\\n\\r\\n'))
    .listen(7000, () => console.log('ready'))
`
const FIREWALL = `add table inet wall
  add chain inet wall input { type filter hook input priority 0; }
  add rule inet wall input tcp dport 4001 drop`

/** Of nobody. */
function strangerId(): string {
  return peerIdOf(freshKey().subarray(32))
}

describe('verdicts on peers out of reach', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  let lab: Lab
  const nodes = new Map<string, LabDaemon>()
  const node = (name: string): LabDaemon => nodes.get(name) ?? assert.fail(name)
  const at = (name: string): string => `/ip4/${lab.address(name)}/tcp/4001`
  const circuit = (): string => `${at('relay')}/p2p/${node('relay').peerId}/p2p-circuit`

  before(async () => {
    lab = await Lab.open({
      segments: {
        internet: { subnet: '45.0.0.0/24' },
        near: { subnet: '10.0.1.0/24' },
        far: { subnet: '10.0.2.0/24' },
      },
      nats: {
        open: { inside: 'near', outside: 'internet', kind: 'port-restricted' },
        closed: { inside: 'far', outside: 'internet', kind: 'symmetric' },
      },
      hosts: {
        asker: { on: 'internet' },
        relay: { on: 'internet' },
        bare: { on: 'internet' },
        walled: { on: 'internet' },
        off: { on: 'internet' },
        guest: { on: 'near' },
        hidden: { on: 'far' },
      },
    })
    const start = async (name: string, ...network: readonly string[]): Promise<LabDaemon> => {
      const daemon = await LabDaemon.start(lab, name, { network })
      nodes.set(name, daemon)
      return daemon
    }
    const [relay] = await Promise.all([
      start('relay', 'relay.serve = true', 'relay.maxReservations = 1', 'relay.maxCircuits = 1'),
      start('asker'),
    ])
    const use = `relay.use = ["${at('relay')}/p2p/${relay.peerId}"]`
    const guest = await start('guest', use)
    await until(
      async () => await guest.reachability(),
      ({ relays }) => relays[0]?.state === 'reserved',
    )
    await start('hidden', use)
    for (const line of FIREWALL.split('\n')) lab.run('walled', 'nft', line.trim())
    lab.setLink('off', 'down')
    const stranger = lab.spawn('bare', process.execPath, ['-e', STRANGER], { stdio: ['ignore', 'pipe', 'inherit'] })
    if (stranger.stdout !== null) await once(stranger.stdout, 'data')
  })
  after(async () => {
    for (const each of nodes.values()) await each[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  /** What `nzcore why` prints on `asker` after it has tried in vain, without what differs from run to run. */
  async function saysOf(peerId: string, ...addresses: readonly string[]): Promise<string> {
    const isConnected = await node('asker').connect(peerId, addresses)
    const text = await node('asker').text('why', peerId)
    assert.equal(isConnected, false, text)
    return normal(text)
  }

  /** One attempt at one address, by a peer that was never heard of: all that counts is what answers there. */
  const cases: ReadonlyArray<readonly [what: string, address: () => string, expected: string]> = [
    [
      'no way from here',
      () => '/ip4/203.0.113.9/tcp/4001',
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_NO_ROUTE
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/203.0.113.9/tcp/4001 connect TIME no way there
Why: this machine has no way to the address
Do: nzcore doctor`,
    ],
    [
      'another peer at its address',
      () => at('relay'),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_WRONG_PEER
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.11/tcp/4001 secure TIME another peer answered
Why: another peer answers at its address: it has moved, or somebody took its place
Do: ask its owner for a new ticket: nzcore invite (on its machine)`,
    ],
    [
      'behind a NAT without a relay',
      () => at('hidden'),
      `NOT CONNECTED ID · 1 attempt · NZ_NAT_NO_RELAY
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/10.0.2.10/tcp/4001 connect TIME no way there
Why: it is known at addresses of a private network alone, which this machine is not in
Do: let it use a relay: nzcore config set network.relay.use (on its machine)`,
    ],
    [
      'the node is off, its machine is on',
      () => at('bare'),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_REFUSED
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.12/tcp/4001 connect TIME host up, nothing listening
Why: its machine is up, and no node listens at the address
Do: nzcore up (on its machine)`,
    ],
    [
      'no node, but another program',
      () => `/ip4/${lab.address('bare')}/tcp/7000`,
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_HANDSHAKE_FAILED
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.12/tcp/7000 secure TIME answered, no secure connection
Why: something answers there, and no secure connection comes about: it blocks this node, or is no node
Do: nzcore blocked (on its machine)`,
    ],
    [
      'a firewall that drops',
      () => at('walled'),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_TIMEOUT
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.13/tcp/4001 connect TIME no packet back
Why: nothing comes back from its address: its machine is off, or a firewall or router drops what arrives
Do: open its port on the router in front of it, or start it: nzcore up (on its machine)`,
    ],
    [
      'its machine is off',
      () => at('off'),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_HOST_UNREACHABLE
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.14/tcp/4001 connect TIME no such machine there
Why: its network says that its machine is not there: it is off, or has another address
Do: switch its machine on; else ask its owner for a new ticket: nzcore invite (on its machine)`,
    ],
    [
      'it has lost its place at the relay',
      () => circuit(),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_RELAY_NO_PLACE
BY ADDRESS CAME TO TOOK RESULT
relay /ip4/45.0.0.11/tcp/4001/p2p/PEER/p2p-circuit connect TIME it has no place at the relay
Why: its relay has no place for it: it is off, or has lost the relay
Do: nzcore reachability (on its machine)`,
    ],
    [
      'its relay is gone',
      () => `${at('bare')}/p2p/${strangerId()}/p2p-circuit`,
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_RELAY_UNREACHABLE
BY ADDRESS CAME TO TOOK RESULT
relay /ip4/45.0.0.12/tcp/4001/p2p/PEER/p2p-circuit connect TIME the relay does not answer
Why: the relay it is reached by does not answer
Do: nzcore status (on the machine of the relay)`,
    ],
  ]
  const said = new Map<string, Promise<string>>()
  for (const [what, , expected] of cases)
    it(`why: ${what}`, async () => {
      // All are asked at once; some take as long as a dial may.
      if (said.size === 0) for (const [name, address] of cases) said.set(name, saysOf(strangerId(), address()))
      assert.equal(await said.get(what), expected)
    })

  it('why: nothing was tried', async () => {
    assert.equal(
      normal(await node('asker').text('why', strangerId())),
      `NOT CONNECTED ID · NZ_NETWORK_NOT_CONNECTED
Why: nothing was tried, and other nodes may not be asked
Do: nzcore connect PEER`,
    )
  })

  it('why: a relay that carries as much as it may; doctor: one that gives no place', async () => {
    const { peerId } = node('guest')
    assert.ok(await node('hidden').connect(peerId, [circuit()]))
    assert.equal(
      await saysOf(peerId, circuit()),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_RELAY_FULL
BY ADDRESS CAME TO TOOK RESULT
relay /ip4/45.0.0.11/tcp/4001/p2p/PEER/p2p-circuit connect TIME the relay has no room
Why: its relay carries as many connections as it may
Do: let it use one more relay: nzcore config set network.relay.use (on its machine)`,
    )
    await until(
      async () => await node('hidden').reachability(),
      ({ relays }) => relays[0]?.state === 'refused',
    )
    const { state, what } = await node('hidden').finding('network.relays')
    assert.equal(state, 'warn')
    assert.match(what, /gives no place: the relay carries as much as it may \(NZ_NETWORK_RELAY_FULL\)$/)
  })

  it('why: blocked here, blocked there', async () => {
    const { peerId } = node('relay')
    await node('asker').client.peersBlock({ subject: peerId })
    assert.equal(
      await saysOf(peerId, at('relay')),
      `NOT CONNECTED ID · NZ_NETWORK_BLOCKED
Why: this node blocks the peer
Do: nzcore unblock PEER`,
    )
    await node('asker').client.peersUnblock({ subject: peerId })
    await node('relay').client.peersBlock({ subject: node('asker').peerId })
    await node('asker').connect(peerId, [at('relay')])
    assert.equal(
      await until(
        async () => normal(await node('asker').text('why', peerId)),
        (text) => text.includes('NZ_NETWORK_PEER_CLOSED'),
      ),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_PEER_CLOSED
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.11/tcp/4001 identify TIME proved who it is, and hung up
Why: it answers, proves who it is and hangs up: it blocks this node, does not trust it, or has no room
Do: nzcore blocked (on its machine)`,
    )
    await node('relay').client.peersUnblock({ subject: node('asker').peerId })
  })

  it('why and doctor: the cable of this machine is pulled', async () => {
    lab.setLink('asker', 'down')
    assert.equal(
      await saysOf(strangerId(), at('bare')),
      `NOT CONNECTED ID · 1 attempt · NZ_NETWORK_OFFLINE
BY ADDRESS CAME TO TOOK RESULT
tcp /ip4/45.0.0.12/tcp/4001 connect TIME no such machine there
Why: this machine is on no network
Do: connect this machine to a network`,
    )
    const { findings } = await node('asker').doctor()
    assert.deepEqual(
      ['network.addresses', 'network.reachability'].map((check) => {
        const { state, what, fix } = findings.find((each) => each.check === check) ?? assert.fail(check)
        return [state, what, fix]
      }),
      [
        ['warn', 'this machine has no address but its own', ['connect it to a network']],
        ['warn', 'peers cannot reach this node: this machine is on no network', ['connect it to a network']],
      ],
    )
    lab.setLink('asker', 'up')
    await until(
      async () => await node('asker').finding('network.addresses'),
      ({ state }) => state === 'ok',
    )
  })

  it('doctor without a node: no network, a disk that is nearly full, few descriptors', async () => {
    const home = await mkdtemp(join(tmpdir(), 'nzlab-home-'))
    const script = `mount -t tmpfs -o size=8m,mode=700 tmpfs "$NZ_HOME" && ulimit -n 256 && exec "$0" "$@"`
    const child = lab.spawn('off', 'sh', ['-c', script, process.execPath, launcher, 'doctor', '--json'], {
      env: { ...process.env, HOME: home, NZ_HOME: home },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => void (printed += text))
    const [code] = await once(child, 'close')
    const { state, isNodeRunning, findings } = JSON.parse(printed) as Diagnosis
    const stateOf = (check: string): string => findings.find((each) => each.check === check)?.state ?? 'none'
    assert.deepEqual(
      [code, state, isNodeRunning, ...['home.space', 'runtime.descriptors', 'network.addresses'].map(stateOf)],
      [9, 'fail', false, 'fail', 'warn', 'warn'],
    )
    assert.ok(findings.filter((each) => each.state !== 'ok').every(({ fix }) => fix.length > 0))
    await rm(home, { recursive: true, force: true })
  })
})

/** Without ids, durations and the widths of columns. */
function normal(text: string): string {
  return text
    .trim()
    .replaceAll(/nz1[a-z0-9]+(?:…[a-z0-9]+)?/g, 'ID')
    .replaceAll(/12D3KooW[1-9A-HJ-NP-Za-km-z]+/g, 'PEER')
    .replaceAll(/\d+(?:\.\d+)? m?s\b/g, 'TIME')
    .replaceAll(/ {2,}/g, ' ')
    .replaceAll(/^ /gm, '')
}
