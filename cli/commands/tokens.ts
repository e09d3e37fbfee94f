/** `nzcore token`: how answers about access tokens read; the commands come from the contract. */
import { systemClock } from '../../kernel/index.ts'
import { escapeText, formatTime, table } from '../text.ts'
import type { tokensContract } from '../../protocols/ipc/contract/tokens.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { Presenters } from '../command.ts'

type Created = ResultOf<(typeof tokensContract)['tokensCreate']>
type Listed = ResultOf<(typeof tokensContract)['tokensList']>
type Line = Listed['tokens'][number]

const NEXT = 'Next: nzcore token create <name> --capabilities <list>'

export const tokensPresenters: Presenters = {
  tokensCreate({ name, token, capabilities, expiresAtMs }: Created) {
    const until = formatTime(expiresAtMs, { nowMs: systemClock.nowMs() })
    return [
      token,
      `(grants ${capabilities.join(', ')} until ${until}; shown only now; revoke: nzcore token revoke ${escapeText(name)})`,
    ].join('\n')
  },
  tokensList({ tokens }: Listed) {
    if (tokens.length === 0) return `no access tokens\n${NEXT}`
    const nowMs = systemClock.nowMs()
    return table(
      ['NAME', 'ID', 'GRANTS', 'STATE', 'CREATED', 'EXPIRES'],
      tokens.map((line) => [
        line.name,
        line.id,
        line.capabilities.join(', '),
        stateOf(line),
        formatTime(line.createdAtMs, { nowMs }),
        formatTime(line.expiresAtMs, { nowMs }),
      ]),
    )
  },
  tokensRevoke: ({ name }: Line) => `✔ revoked ${escapeText(name)}`,
}

function stateOf({ isUsable, revokedAtMs }: Line): string {
  if (isUsable) return 'usable'
  return revokedAtMs === null ? 'expired' : 'revoked'
}
