/** What each way to fail says of one attempt, of the peer as a whole, and what to do about it. */

export interface Meaning {
  /** Of one attempt. */
  readonly attempt: string
  readonly verdict: string
  readonly next: string
}

const FIREWALL = 'its machine is off, or a firewall or router drops what arrives'

/** By how much a failure says: who answered tells more than who was silent. The first that occurred decides. */
export const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['NZ_NETWORK_BLOCKED', { attempt: 'blocked here', verdict: 'this node blocks its address', next: 'nzcore blocked' }],
  [
    'NZ_NETWORK_PEER_CLOSED',
    {
      attempt: 'proved who it is, and hung up',
      verdict: 'it answers, proves who it is and hangs up: it blocks this node, does not trust it, or has no room',
      next: 'nzcore blocked (on its machine)',
    },
  ],
  [
    'NZ_DNS_NO_NODE',
    {
      attempt: 'the name leads to no such node',
      verdict: 'DNS knows the name, and no address of the peer there',
      next: 'nzcore dns resolve <name>',
    },
  ],
  [
    'NZ_DNS_FAILED',
    {
      attempt: 'no resolver answered',
      verdict: 'its address is a name, and no resolver answers',
      next: 'nzcore config explain network.dns',
    },
  ],
  [
    'NZ_NETWORK_RELAY_FULL',
    {
      attempt: 'the relay has no room',
      verdict: 'its relay carries as many connections as it may',
      next: 'let it use one more relay: nzcore config set network.relay.use (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_WRONG_PEER',
    {
      attempt: 'another peer answered',
      verdict: 'another peer answers at its address: it has moved, or somebody took its place',
      next: 'ask its owner for a new ticket: nzcore invite (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_PNET_MISMATCH',
    {
      attempt: 'no common cluster secret',
      verdict: 'the host answers without this node’s cluster secret',
      next: 'nzcore config explain network.clusterSecretFile',
    },
  ],
  [
    'NZ_NETWORK_RELAY_NO_PLACE',
    {
      attempt: 'it has no place at the relay',
      verdict: 'its relay has no place for it: it is off, or has lost the relay',
      next: 'nzcore reachability (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_RELAY_REFUSED',
    {
      attempt: 'the relay passed nothing on',
      verdict: 'its relay cannot pass the connection on: it does not answer there, or does not want it',
      next: 'nzcore reachability (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_HANDSHAKE_FAILED',
    {
      attempt: 'answered, no secure connection',
      verdict: 'something answers there, and no secure connection comes about: it blocks this node, or is no node',
      next: 'nzcore blocked (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_LIMITED',
    { attempt: 'a limit was reached', verdict: 'a limit on connections was reached', next: 'nzcore peers' },
  ],
  [
    'NZ_NETWORK_REFUSED',
    {
      attempt: 'host up, nothing listening',
      verdict: 'its machine is up, and no node listens at the address',
      next: 'nzcore up (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_RELAY_UNREACHABLE',
    {
      attempt: 'the relay does not answer',
      verdict: 'the relay it is reached by does not answer',
      next: 'nzcore status (on the machine of the relay)',
    },
  ],
  [
    'NZ_NETWORK_HOST_UNREACHABLE',
    {
      attempt: 'no such machine there',
      verdict: 'its network says that its machine is not there: it is off, or has another address',
      next: 'switch its machine on; else ask its owner for a new ticket: nzcore invite (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_TIMEOUT',
    {
      attempt: 'no packet back',
      verdict: `nothing comes back from its address: ${FIREWALL}`,
      next: 'open its port on the router in front of it, or start it: nzcore up (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_NAME_UNKNOWN',
    {
      attempt: 'the name has no address',
      verdict: 'the name in its address has no IP address, or nobody answers who knows it',
      next: 'nzcore doctor',
    },
  ],
  [
    'NZ_NETWORK_NO_ROUTE',
    { attempt: 'no way there', verdict: 'this machine has no way to the address', next: 'nzcore doctor' },
  ],
  [
    'NZ_NETWORK_CONNECT_FAILED',
    { attempt: 'could not be opened', verdict: 'the connection cannot be opened', next: 'nzcore doctor' },
  ],
])

/** What a machine without a network, and a stranger's private address, come to: they say nothing of the peer itself. */
export const SILENT: ReadonlySet<string | null> = new Set([
  'NZ_NETWORK_NO_ROUTE',
  'NZ_NETWORK_HOST_UNREACHABLE',
  'NZ_NETWORK_TIMEOUT',
  'NZ_NETWORK_NAME_UNKNOWN',
  'NZ_NETWORK_RELAY_UNREACHABLE',
  'NZ_NETWORK_CONNECT_FAILED',
])
