/** How the answers of `nzcore forward …` read; the commands themselves are derived from the contract. */
import { escapeText, formatBytes, table } from '../text.ts'
import type { forwardsContract } from '../../protocols/ipc/contract/forwards.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { Presenters } from '../command.ts'

type ForwardAnswer = ResultOf<(typeof forwardsContract)['forwardsStart']>
type Forwards = ResultOf<(typeof forwardsContract)['forwardsList']>

export const forwardsPresenters: Presenters = {
  forwardsStart: ({ forward: { address, service, peer, forwardId } }: ForwardAnswer) =>
    `✔ ${address} goes to ${service} of ${escapeText(peer ?? '')}\n(also after restarts; end it: nzcore forward stop ${forwardId})`,
  forwardsExpose: ({ forward: { address, service, allow } }: ForwardAnswer) =>
    `✔ ${service} at ${address} is offered to ${allowText(allow)}\n(also after restarts; end it: nzcore forward stop ${service})`,
  forwardsStop: ({ forward: { service, address } }: ForwardAnswer) => `✔ ended ${service} at ${address}`,
  forwardsList({ forwards }: Forwards) {
    if (forwards.length === 0) {
      return 'no forwards\nNext: nzcore forward <peer> <service> --local <port>   or: nzcore forward expose <service> --to <port>'
    }
    return table(
      ['FORWARD', 'SERVICE', 'ADDRESS', 'PEER', 'STATE', 'OPEN', 'TX/RX', 'LAST'],
      forwards.map((forward) => [
        forward.forwardId,
        forward.service,
        forward.address,
        forward.kind === 'local' ? (forward.peer ?? forward.peerId ?? '') : `for ${allowText(forward.allow)}`,
        forward.state,
        String(forward.connections),
        `${formatBytes(forward.txBytes)}/${formatBytes(forward.rxBytes)}`,
        forward.lastCode ?? 'ok',
      ]),
    )
  },
}

function allowText(allow: readonly string[] | null): string {
  if (allow === null) return 'every contact'
  return allow.length === 0 ? 'nobody' : allow.map(escapeText).join(', ')
}
