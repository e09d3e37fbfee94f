/** Receipts of this node, and those that others give it. spec/NZ-TRANSFER-01 §6. */
import { encodeReceipt, isReceiptFor, openReceipt, receiptId } from '../../protocols/transfer/receipt.ts'
import { RECEIPT_PURPOSE } from '../../protocols/transfer/limits.ts'
import type { ReceiptFacts } from '../../protocols/transfer/receipt.ts'
import type { ReceiptMessage } from '../../protocols/transfer/messages.ts'
import type { IdentityService } from '../identity/service.ts'
import type { Receipt } from './service.ts'

export class ReceiptSigner {
  readonly #identity: Pick<IdentityService, 'signAsNode' | 'verify'>

  constructor(identity: Pick<IdentityService, 'signAsNode' | 'verify'>) {
    this.#identity = identity
  }

  issue(facts: ReceiptFacts, atMs: number): Receipt {
    const body = encodeReceipt(facts, atMs)
    return shown(body, this.#identity.signAsNode(RECEIPT_PURPOSE, body))
  }

  /** `null` unless it is about exactly these facts and signed by the receiver they name. */
  check({ body, signature }: Omit<ReceiptMessage, 'type'>, facts: ReceiptFacts): Receipt | null {
    const opened = openReceipt(body, signature, (message, signed, publicKey) =>
      this.#identity.verify(RECEIPT_PURPOSE, message, signed, publicKey),
    )
    return opened !== null && isReceiptFor(opened, facts) ? shown(body, signature) : null
  }

  wire({ body, signature }: Receipt): Omit<ReceiptMessage, 'type'> {
    return { body: Buffer.from(body, 'hex'), signature: Buffer.from(signature, 'hex') }
  }
}

function shown(body: Uint8Array, signature: Uint8Array): Receipt {
  return {
    id: receiptId(body, signature),
    body: Buffer.from(body).toString('hex'),
    signature: Buffer.from(signature).toString('hex'),
  }
}
