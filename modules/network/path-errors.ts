/** Why a path to a peer is as it is: codes that attempts and verdicts carry beside those of `networkErrors`. */
import { defineErrors } from '../../kernel/index.ts'

const unreachable = { status: 502, exit: 'unreachable', retryable: true } as const

export const pathErrors = defineErrors({
  NZ_NETWORK_OFFLINE: {
    message: 'this machine is on no network',
    fix: ['connect this machine to a network', 'nzcore doctor'],
    ...unreachable,
  },
  NZ_NETWORK_HOST_UNREACHABLE: {
    message: 'the network of the address says that no such machine is there',
    fix: ['switch the other machine on', 'check the address'],
    ...unreachable,
  },
  NZ_NETWORK_NAME_UNKNOWN: {
    message: 'the name in the address has no IP address',
    fix: ['check the name', 'check that this machine can resolve names: nzcore doctor'],
    ...unreachable,
  },
  NZ_NETWORK_PEER_CLOSED: {
    message: 'the peer proved who it is and closed the connection at once',
    fix: ['nzcore blocked (on its machine)', 'nzcore trust list (on its machine)'],
    ...unreachable,
  },
  NZ_NETWORK_RELAY_UNREACHABLE: {
    message: 'the relay of the peer cannot be reached',
    fix: ['check that the relay runs: nzcore status (on its machine)', 'let the peer use one more relay'],
    ...unreachable,
  },
  NZ_NETWORK_RELAY_FULL: {
    message: 'the relay carries as much as it may',
    fix: ['use one more relay: nzcore config explain network.relay.use', 'raise network.relay.max… on the relay'],
    ...unreachable,
  },
  NZ_NETWORK_RELAY_NO_PLACE: {
    message: 'the peer has no place at the relay',
    fix: ['nzcore reachability (on its machine)', 'start the node there: nzcore up'],
    ...unreachable,
  },
  NZ_NAT_NO_RELAY: {
    message: 'only addresses of a private network are known of the peer',
    fix: ['let it use a relay: nzcore config set network.relay.use (on its machine)', 'forward its TCP port'],
    ...unreachable,
  },
  NZ_NAT_BOTH_SYMMETRIC: {
    message: 'both NATs change the port for each destination, so neither side can foretell where to dial',
    fix: ['forward the TCP port on one of the two routers', 'nzcore config set network.portMapping true'],
    ...unreachable,
  },
  NZ_NAT_SYMMETRIC_AND_CLOSED: {
    message: 'one NAT changes the port for each destination, and the other lets in only answers from that very port',
    fix: ['forward the TCP port on one of the two routers', 'nzcore config set network.portMapping true'],
    ...unreachable,
  },
  NZ_NAT_PUNCH_PENDING: {
    message: 'a direct connection is being tried',
    fix: ['wait: the relayed connection is used meanwhile'],
    ...unreachable,
  },
  NZ_NAT_PUNCH_FAILED: {
    message: 'direct connections were tried and none came about, though the NATs allow for them',
    fix: ['look for a firewall that drops what arrives at the TCP port of either node', 'forward the TCP port'],
    ...unreachable,
  },
  NZ_NAT_UNKNOWN: {
    message: 'direct connections were tried and none came about; what a NAT does is seen only by two nodes outside',
    fix: ['use one more relay: nzcore config explain network.relay.use', 'nzcore reachability (on both machines)'],
    ...unreachable,
  },
  NZ_NAT_NO_ADDON: {
    message: 'a node without the native addon cannot dial from its listening port, which piercing a NAT needs',
    fix: ['npm run native (in the folder of nzcore)'],
    ...unreachable,
  },
  NZ_NAT_UNTOLD: {
    message: 'the peer does not say what NAT it is behind',
    fix: ['update the node on the other machine: nzcore version'],
    ...unreachable,
  },
})
