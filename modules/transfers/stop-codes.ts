/** Between the codes of the wire and the errors of this node. */
import { isNzError } from '../../kernel/index.ts'
import { protocolError } from '../../protocols/transfer/errors.ts'
import { transfersErrors } from './service.ts'
import type { StopCode } from '../../protocols/transfer/messages.ts'

/** The error that a peer's `stop` means here. */
export function errorOfStop(code: StopCode, data: Readonly<Record<string, unknown>>): Error {
  switch (code) {
    case 'not-contact':
      return transfersErrors.NZ_TRANSFERS_NOT_CONTACT({ data })
    case 'not-receiving':
      return transfersErrors.NZ_TRANSFERS_NOT_RECEIVING({ data })
    case 'busy':
    case 'shutting-down':
      return transfersErrors.NZ_TRANSFERS_BUSY({ data })
    case 'too-large':
      return transfersErrors.NZ_TRANSFERS_TOO_LARGE({ data })
    case 'no-space':
      return transfersErrors.NZ_TRANSFERS_NO_SPACE({ data })
    case 'storage-failed':
      return transfersErrors.NZ_TRANSFERS_STORAGE_FAILED({ data })
    case 'hash-mismatch':
      return transfersErrors.NZ_TRANSFERS_HASH_MISMATCH({ data })
    case 'consumer-gone':
      return transfersErrors.NZ_TRANSFERS_CONSUMER_GONE({ data })
    case 'source-failed':
      return transfersErrors.NZ_TRANSFERS_SOURCE_FAILED({ data })
    case 'cannot-resume':
      return transfersErrors.NZ_TRANSFERS_CANNOT_RESUME({ data })
    case 'cancelled':
      return transfersErrors.NZ_TRANSFERS_CANCELLED({ why: 'the peer cancelled it', data })
    case 'protocol':
      return protocolError('the peer says that this node broke it')
    case 'failed':
      return transfersErrors.NZ_TRANSFERS_FAILED({ data })
  }
}

/** What the peer is told when `error` ended the transfer here. */
export function stopOfError(error: unknown): StopCode {
  if (!isNzError(error)) return 'failed'
  return stops[error.code] ?? 'failed'
}

const stops: Readonly<Record<string, StopCode>> = {
  NZ_TRANSFER_PROTOCOL: 'protocol',
  NZ_TRANSFERS_NOT_CONTACT: 'not-contact',
  NZ_TRANSFERS_NOT_RECEIVING: 'not-receiving',
  NZ_TRANSFERS_BUSY: 'busy',
  NZ_TRANSFERS_TOO_LARGE: 'too-large',
  NZ_TRANSFERS_NO_SPACE: 'no-space',
  NZ_TRANSFERS_STORAGE_FAILED: 'storage-failed',
  NZ_TRANSFERS_HASH_MISMATCH: 'hash-mismatch',
  NZ_TRANSFERS_CONSUMER_GONE: 'consumer-gone',
  NZ_TRANSFERS_SOURCE_FAILED: 'source-failed',
  NZ_TRANSFERS_SOURCE_CHANGED: 'source-failed',
  NZ_TRANSFERS_CANNOT_RESUME: 'cannot-resume',
  NZ_TRANSFERS_CANCELLED: 'cancelled',
}
