/** Handlers of the group `forwards`. */
import type { forwardsContract } from '../../../protocols/ipc/contract/forwards.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import { forwardsErrors } from '../../forwards/service.ts'
import type { Forward, ForwardsService } from '../../forwards/service.ts'

export interface ForwardsServices {
  readonly contacts: ContactsService
  readonly forwards: ForwardsService
}

type ForwardView = ResultOf<(typeof forwardsContract)['forwardsStart']>['forward']

export function forwardsHandlers({ contacts, forwards }: ForwardsServices): Handlers<typeof forwardsContract> {
  const nameOf = (peerId: string): string | null => contacts.get(peerId)?.name ?? null
  const view = (forward: Forward): ForwardView => {
    const { forwardId, kind, service, connections, totalConnections, lastCode, txBytes, rxBytes } = forward
    const counted = { connections, totalConnections, lastCode, txBytes, rxBytes }
    const base = { forwardId, kind, service, address: hostPort(forward), ...counted }
    if (forward.kind === 'local') {
      const { peerId, state } = forward
      return { ...base, peerId, peer: nameOf(peerId), allow: null, state }
    }
    const allow = forward.allow?.map((peerId) => nameOf(peerId) ?? peerId) ?? null
    return { ...base, peerId: null, peer: null, allow, state: 'exposed' }
  }
  return {
    async forwardsStart({ peer, service, local, bind }) {
      const { peerId } = contacts.resolve(peer)
      return { forward: view(await forwards.forward({ peerId, service, host: bind, port: local })) }
    },
    async forwardsExpose({ service, to, allow }) {
      const peerIds = allow?.map((reference) => contacts.resolve(reference).peerId) ?? null
      return { forward: view(await forwards.expose({ service, ...addressOf(to), allow: peerIds })) }
    },
    forwardsList: async () => ({ forwards: forwards.list().map(view) }),
    forwardsStop: async ({ forward }) => ({ forward: view(await forwards.stop(forward)) }),
  }
}

function hostPort({ host, port }: Forward): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `host:port`, `[ip6]:port`, or a port of this machine. @throws NZ_FORWARD_INVALID */
function addressOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[(?<ip6>[0-9a-fA-F:.]+)\]:|(?<name>[A-Za-z0-9.-]+):)?(?<port>\d{1,5})$/.exec(text)
  if (match?.groups === undefined) throw forwardsErrors.NZ_FORWARD_INVALID({ why: 'that is no host:port' })
  const { ip6, name, port } = match.groups
  return { host: ip6 ?? name ?? '127.0.0.1', port: Number(port) }
}
