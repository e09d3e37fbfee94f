/** Whether and how other peers reach the running node, and which relays do what was asked of them. */
import { knownErrors } from '../../kernel/index.ts'
import { OFFLINE } from '../network/service.ts'
import { ok, warn } from './subject.ts'
import type { Check } from './subject.ts'
import type { Finding } from './service.ts'

const CHECK = 'network.reachability'
const WITHOUT_RELAY = [
  'name a relay: nzcore config explain network.relay.use',
  'forward the TCP port of this node on the router',
]

export const checkReachability: Check = async ({ node }) => {
  if (node === null) return []
  const { verdict, why, relays, canPunch, mapping, portMapping } = node.reachability()
  const findings: Finding[] = []
  switch (verdict) {
    case 'direct':
      findings.push(ok(CHECK, `peers reach this node directly: ${why}`))
      break
    case 'punchable':
      findings.push(ok(CHECK, `peers reach this node with the help of a relay: ${why}`))
      break
    case 'relayed':
      findings.push(
        canPunch || mapping === 'endpoint-dependent'
          ? ok(CHECK, `peers reach this node through relays: ${why}`)
          : warn(CHECK, `peers reach this node through relays: ${why}`, 'npm run native'),
      )
      break
    case 'unreachable':
      findings.push(
        warn(
          CHECK,
          `peers cannot reach this node: ${why}`,
          ...(why === OFFLINE ? ['connect it to a network'] : WITHOUT_RELAY),
        ),
      )
      break
    case 'unknown':
      findings.push(ok(CHECK, `it is not known yet whether peers reach this node: ${why}`))
  }
  if (portMapping?.state === 'mapped')
    findings.push(ok('network.portMapping', `${portMapping.why}: ${portMapping.address ?? ''}`))
  if (portMapping?.state === 'failed')
    findings.push(
      warn(
        'network.portMapping',
        `no port was got from the router: ${portMapping.why}`,
        'switch on PCP, NAT-PMP or UPnP in the router, or forward the TCP port by hand',
        'ask no more: nzcore config set network.portMapping false',
      ),
    )
  for (const { peerId, state, code } of relays) {
    if (state === 'reserved' || code === null) continue
    const because = knownErrors.get(code)?.message ?? 'for a reason this node does not know'
    findings.push(
      warn(
        'network.relays',
        `the relay ${peerId} gives no place: ${because} (${code})`,
        `nzcore explain ${code}`,
        `nzcore peers attempts ${peerId}`,
      ),
    )
  }
  return await Promise.resolve(findings)
}
