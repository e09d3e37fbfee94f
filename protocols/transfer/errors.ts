/** Errors of the wire format: what a peer sent is not a transfer. */
import { defineErrors } from '../../kernel/index.ts'

export const transferProtocolErrors = defineErrors({
  NZ_TRANSFER_PROTOCOL: {
    message: 'the peer broke the transfer protocol',
    fix: ['compare the versions on both machines: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
})

/** For decoders and state machines: `why` says which rule was broken, never what the peer's bytes were. */
export function protocolError(why: string): Error {
  return transferProtocolErrors.NZ_TRANSFER_PROTOCOL({ why })
}
