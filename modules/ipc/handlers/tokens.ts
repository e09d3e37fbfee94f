/** Handlers of the group `tokens`. */
import { ipcErrors } from '../../../protocols/ipc/errors.ts'
import type { tokensContract } from '../../../protocols/ipc/contract/tokens.ts'
import type { Contract, Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import { owner, permits } from '../caller.ts'
import type { TokenRecord, TokenStore } from '../tokens.ts'

type TokenLine = ResultOf<(typeof tokensContract)['tokensRevoke']>

export function tokensHandlers({
  tokens,
  contract,
}: {
  readonly tokens: TokenStore
  readonly contract: Contract
}): Handlers<typeof tokensContract> {
  const known = new Set(Object.values(contract).map(({ capability }) => capability))

  function expectKnown(capability: string): void {
    const isKnown = [...known].some((each) => permits({ id: '', capabilities: [capability] }, each))
    if (!isKnown) {
      throw ipcErrors.NZ_IPC_CAPABILITY_UNKNOWN({ data: { capability, known: [...known].sort() } })
    }
  }

  return {
    async tokensCreate(params, { caller = owner }) {
      for (const capability of params.capabilities) {
        expectKnown(capability)
        if (!permits(caller, capability)) throw ipcErrors.NZ_IPC_CAPABILITY_MISSING({ data: { capability } })
      }
      const { token, ...record } = await tokens.create(params)
      return { ...lineOf(record, tokens), token }
    },
    async tokensList() {
      return { tokens: tokens.list().map((record) => lineOf(record, tokens)) }
    },
    async tokensRevoke({ token }) {
      return lineOf(await tokens.revoke(token), tokens)
    },
  }
}

function lineOf(record: TokenRecord, tokens: TokenStore): TokenLine {
  return { ...record, isUsable: tokens.isUsable(record) }
}
