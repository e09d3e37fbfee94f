/** What nodes find out about the NAT or firewall before them: by what two relays see, by being dialled back, and by STUN. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { startBehind, startRelays } from './grid.ts'
import { Lab } from './lab.ts'
import { until } from './peer.ts'
import { whyNoLab } from './system.ts'
import type { Reachability } from '../../modules/network/service.ts'
import type { NatKind } from './topology.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`what a NAT does: skipped: ${why}\n`)

const FIREWALL = `
table inet wall {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    meta l4proto { icmp, icmpv6 } accept
  }
}
`
const kinds: readonly NatKind[] = ['full-cone', 'address-restricted', 'port-restricted', 'symmetric']

/** Verdict, mapping and filtering. Who may be dialled back by hosts it has spoken to may still be shut to strangers. */
const expected: Readonly<Record<string, readonly [Reachability['verdict'], string, string]>> = {
  open: ['direct', 'none', 'address-dependent-at-most'],
  walled: ['punchable', 'none', 'address-and-port-dependent'],
  'full-cone': ['punchable', 'endpoint-independent', 'address-dependent-at-most'],
  'address-restricted': ['punchable', 'endpoint-independent', 'address-dependent-at-most'],
  'port-restricted': ['punchable', 'endpoint-independent', 'address-and-port-dependent'],
  symmetric: ['relayed', 'endpoint-dependent', 'address-and-port-dependent'],
}

/** What a STUN server shows of datagrams. */
const byStun: Readonly<Record<string, readonly [string, string]>> = {
  open: ['none', 'endpoint-independent'],
  walled: ['none', 'address-and-port-dependent'],
  'full-cone': ['endpoint-independent', 'endpoint-independent'],
  'address-restricted': ['endpoint-independent', 'address-dependent'],
  'port-restricted': ['endpoint-independent', 'address-and-port-dependent'],
  symmetric: ['address-and-port-dependent', 'address-and-port-dependent'],
}

describe('what a node finds out about its NAT', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  it('tells mapping and filtering of each kind, and a firewall without a NAT', { timeout: 180_000 }, async () => {
    await using lab = await Lab.open({
      segments: {
        internet: { subnet: '45.0.0.0/24' },
        ...Object.fromEntries(kinds.map((_kind, at) => [`lan${at}`, { subnet: `10.0.${at}.0/24` }])),
      },
      nats: Object.fromEntries(
        kinds.map((kind, at) => [`nat-${kind}`, { inside: `lan${at}`, outside: 'internet', kind }]),
      ),
      hosts: {
        'relay-1': { on: 'internet' },
        'relay-2': { on: 'internet' },
        open: { on: 'internet' },
        walled: { on: 'internet' },
        stun: { on: 'internet' },
        ...Object.fromEntries(kinds.map((kind, at) => [kind, { on: `lan${at}` }])),
      },
    })
    lab.run('walled', 'nft', FIREWALL)
    const stun = [await startStun(lab)]
    const { use } = await startRelays(lab)
    const found = await Promise.all(
      Object.keys(expected).map(async (machine) => {
        const peer = await startBehind(lab, machine, use, { stun })
        const {
          verdict,
          mapping,
          filtering,
          stun: shown,
        } = await until(
          async () => await peer.reachability(),
          (answer) => answer.filtering !== 'unknown' && answer.stun[0]?.state === 'answered',
        )
        return { machine, tcp: [verdict, mapping, filtering], udp: [shown[0]?.mapping, shown[0]?.filtering] }
      }),
    )
    const lines = found.map(({ machine, tcp, udp }) => `${machine.padEnd(20)}${tcp.join(', ')}; UDP: ${udp.join(', ')}`)
    process.stdout.write(`${lines.join('\n')}\n`)
    assert.deepEqual(Object.fromEntries(found.map(({ machine, tcp }) => [machine, tcp])), expected)
    assert.deepEqual(Object.fromEntries(found.map(({ machine, udp }) => [machine, udp])), byStun)
  })
})

/** With two addresses on the machine `stun`; resolves with the one to ask. */
async function startStun(lab: Lab): Promise<string> {
  const first = lab.address('stun')
  const second = first.replace(/\d+$/, '99')
  const [, name = ''] = /^\d+: (\S+)\s+inet 45\./m.exec(lab.run('stun', 'ip', '-o', '-4', 'address')) ?? []
  lab.run('stun', 'ip', 'address', 'add', `${second}/24`, 'dev', name)
  const process = lab.spawn(
    'stun',
    globalThis.process.execPath,
    [join(import.meta.dirname, 'stun-process.ts'), first, second],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  if (process.stdout === null) throw new Error('the STUN server has no output')
  await once(process.stdout, 'data', { signal: AbortSignal.timeout(30_000) })
  return `${first}:3478`
}
