/** What others may know of `transfers`: files and byte streams handed to contacts, and taken from them. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

export { transferProtocolErrors } from '../../protocols/transfer/errors.ts'

export const transferStates = ['waiting', 'moving', 'finishing', 'done', 'failed', 'cancelled'] as const

/** `waiting`: for the peer, or for the connection to come back. The last three are final. */
export type TransferState = (typeof transferStates)[number]

/** Signed by the receiver; anyone can check it with the receiver's peer id (spec/NZ-TRANSFER-01 §6). */
export interface Receipt {
  /** `rcp_…` */
  readonly id: string
  /** Deterministic CBOR, hex. */
  readonly body: string
  /** Ed25519, hex. */
  readonly signature: string
}

/** One transfer as it stands. */
export interface TransferSnapshot {
  /** 32 hex digits, chosen by the sender. */
  readonly id: string
  readonly direction: 'sending' | 'receiving'
  readonly peerId: string
  /** The contact's name. */
  readonly peer: string
  /** As offered; from a peer when receiving: escape it before showing. */
  readonly name: string
  readonly state: TransferState
  /** In all; `null` while unknown. */
  readonly size: number | null
  /** Confirmed: durable with the receiver. */
  readonly bytes: number
  readonly startedAtMs: number
  readonly endedAtMs: number | null
  readonly sha256: string | null
  /** Where the file is, when it is one that arrived here. */
  readonly path: string | null
  readonly receipt: Receipt | null
  /** Why it failed, or why it waits. */
  readonly code: string | null
}

/** A transfer of this process that can be followed. */
export interface Transfer {
  readonly id: string
  snapshot(): TransferSnapshot
  /** The state now and then after changes, at most a few a second, until it is final. Ends early when `signal` aborts. */
  changes(options: { readonly signal: AbortSignal }): AsyncIterable<TransferSnapshot>
  /** The final state. @throws what it failed with */
  result(): Promise<TransferSnapshot>
}

/** A folder that takes files until it is stopped; it outlives the process. */
export interface Inbox {
  readonly id: string
  readonly directory: string
  /** Peer id of the only contact it takes files from; `null`: from all contacts. */
  readonly from: string | null
  /** Ends after one file. */
  readonly isOnce: boolean
  readonly createdAtMs: number
}

/** `received` is told once for each file; `progress` of what is on its way; `closed` is last. */
export type InboxEvent =
  | { readonly type: 'received' | 'progress'; readonly transfer: TransferSnapshot }
  | { readonly type: 'closed' }

/** Takes the bytes of one `listen`. */
export interface ByteConsumer {
  /** Called once, before the first byte. */
  start(transfer: TransferSnapshot): Promise<void>
  /** Resolves when the pieces were taken for good: only then are they acknowledged. */
  take(pieces: readonly Uint8Array[]): Promise<void>
}

export interface SendOptions {
  /** A name, id or peer id of a contact. */
  readonly peer: string
  /** What the receiver is told; 1 to 1,024 bytes. */
  readonly name: string
  /** How long to wait for the peer to come back after a cut, in milliseconds. @default 300_000 */
  readonly timeoutMs?: number
  /** Cancels the transfer. */
  readonly signal: AbortSignal
}

export interface TransfersService {
  /** Active ones first, then the most recent; at most the configured history. */
  list(): readonly TransferSnapshot[]
  inboxes(): readonly Inbox[]
  /**
   * Sends a file of this machine. It must not change meanwhile.
   *
   * @throws NZ_CONTACTS_NOT_FOUND, NZ_TRANSFERS_SOURCE_UNREADABLE, NZ_TRANSFERS_LIMIT
   */
  sendFile(options: SendOptions & { readonly path: string }): Promise<Transfer>
  /**
   * Sends what `pull` gives until it gives `null`; it is asked again only when the window has room.
   *
   * @throws NZ_CONTACTS_NOT_FOUND, NZ_TRANSFERS_LIMIT
   */
  sendBytes(options: SendOptions & { readonly pull: () => Promise<Uint8Array | null> }): Promise<Transfer>
  /**
   * Takes files into a folder until `closeInbox`. The same folder and peer give the same inbox again.
   *
   * @throws NZ_TRANSFERS_DIRECTORY, NZ_CONTACTS_NOT_FOUND
   */
  openInbox(options: { readonly directory: string; readonly from?: string; readonly isOnce?: boolean }): Promise<Inbox>
  /**
   * What arrives there: files since `sinceMs` whose ids are not in `seen`, then what comes, until it is closed.
   *
   * @throws NZ_TRANSFERS_UNKNOWN
   */
  watchInbox(
    id: string,
    options: { readonly seen: readonly string[]; readonly sinceMs: number; readonly signal: AbortSignal },
  ): AsyncIterable<InboxEvent>
  /** No error when it is closed already. */
  closeInbox(id: string): Promise<void>
  /**
   * Takes one transfer of exactly that name into `consumer`; goes before inboxes.
   *
   * @throws NZ_TRANSFERS_NAME_TAKEN when another listener waits for the name, else what the transfer failed with
   */
  listen(options: {
    readonly name: string
    readonly from?: string
    readonly consumer: ByteConsumer
    readonly signal: AbortSignal
  }): Promise<TransferSnapshot>
  /** By id or a unique beginning of it (6 digits or more). @throws NZ_TRANSFERS_UNKNOWN */
  cancel(id: string): Promise<TransferSnapshot>
}

export const TransfersService = defineService<TransfersService>('transfers')

const told = { id: z.string(), peerId: z.string(), name: z.string() }

export const transfersEvents = defineEvents('transfers', {
  started: z.strictObject({ ...told, direction: z.enum(['sending', 'receiving']), size: z.number().nullable() }),
  delivered: z.strictObject({ ...told, size: z.number(), sha256: z.string(), receipt: z.string() }),
  received: z.strictObject({ ...told, size: z.number(), sha256: z.string(), path: z.string().nullable() }),
  failed: z.strictObject({ ...told, direction: z.enum(['sending', 'receiving']), code: z.string() }),
})

export const transfersErrors = defineErrors({
  NZ_TRANSFERS_NOT_CONTACT: {
    message: 'the peer does not take transfers from this node: it is not among its contacts',
    fix: ['introduce the two nodes again: nzcore invite, then nzcore join <ticket> on the other machine'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_TRANSFERS_NOT_RECEIVING: {
    message: 'the peer is not receiving',
    fix: ['on the peer: nzcore receive', 'on the peer: nzcore listen <name>'],
    status: 404,
    exit: 'notFound',
    retryable: true,
  },
  NZ_TRANSFERS_BUSY: {
    message: 'the peer takes no more transfers at the moment',
    fix: ['wait for other transfers to end: nzcore transfers', 'raise transfers.maxIncomingPerPeer on the peer'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_LIMIT: {
    message: 'too many transfers are being sent',
    fix: ['nzcore transfers', 'nzcore transfers cancel <id>', 'raise transfers.maxOutgoing'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_TOO_LARGE: {
    message: 'the transfer is larger than the receiver allows',
    fix: ['raise transfers.maxTransferBytes on the receiver'],
    status: 413,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_NO_SPACE: {
    message: 'the disk of the receiver is full',
    fix: ['free space on the receiver, then send again'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_STORAGE_FAILED: {
    message: 'the receiver could not store the data',
    fix: ['look at the log of the receiver: nzcore logs', 'check its receiving folder and disk'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_HASH_MISMATCH: {
    message: 'what arrived is not what was sent; nothing was kept',
    fix: ['send again'],
    status: 502,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_CONSUMER_GONE: {
    message: 'the program that took the bytes ended before all were taken',
    fix: ['start it again: nzcore listen <name>', 'then send again'],
    status: 410,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_SOURCE_FAILED: {
    message: 'the sender could not read what it was sending',
    fix: ['send again'],
    status: 502,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_SOURCE_UNREADABLE: {
    message: 'the file cannot be read',
    fix: ['check data.path and its permissions'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_TRANSFERS_SOURCE_CHANGED: {
    message: 'the file changed while it was being sent',
    fix: ['send again when nothing writes to it'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_TRANSFERS_CANNOT_RESUME: {
    message: 'the receiver lost data that can no longer be read again',
    fix: ['start again from the beginning'],
    status: 502,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_CANCELLED: {
    message: 'the transfer was cancelled',
    fix: ['send again: a file goes on where it stopped'],
    status: 409,
    exit: 'failed',
    retryable: true,
  },
  NZ_TRANSFERS_FAILED: {
    message: 'the peer ended the transfer',
    fix: ['look at the log of the peer: nzcore logs'],
    status: 502,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_INTERRUPTED: {
    message: 'the connection was cut and the sender did not come back in time',
    fix: ['send again: a file goes on where it stopped'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_TRANSFERS_TIMED_OUT: {
    message: 'the peer did not come back in time',
    fix: ['nzcore peers', 'send again: a file goes on where it stopped'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_TRANSFERS_RECEIPT_INVALID: {
    message: 'the receipt of the peer does not verify',
    fix: ['do not count on the delivery', 'compare the versions on both machines: nzcore version'],
    status: 502,
    exit: 'failed',
    retryable: false,
  },
  NZ_TRANSFERS_NAME: {
    message: 'the name is empty, too long or has no printable character',
    fix: ['give a name of 1 to 1,024 bytes'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_TRANSFERS_NAME_TAKEN: {
    message: 'another program listens for that name',
    fix: ['stop it, or listen for another name'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_TRANSFERS_DIRECTORY: {
    message: 'the folder cannot take files',
    fix: ['check that data.path is a folder that may be written to'],
    status: 400,
    exit: 'permission',
    retryable: false,
  },
  NZ_TRANSFERS_UNKNOWN: {
    message: 'no such transfer or receiving folder',
    fix: ['nzcore transfers'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_TRANSFERS_STATE_DAMAGED: {
    message: 'the record of transfers is damaged',
    fix: ['move data.path away: partial files then start anew, arrived files are safe'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
