/** Local API: files and byte streams sent to contacts and received from them. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const timeMs = z.number().describe('milliseconds since 1970')
const peer = z.string().min(1).max(128).describe('name, nz1… id, peer id, or the beginning of an id')
const name = z.string().min(1).max(1_024).describe('what the receiver is told')
const timeoutMs = z
  .number()
  .int()
  .min(1)
  .max(604_800_000)
  .default(300_000)
  .describe('how long to wait for the peer to come back after a cut, in milliseconds')

export const ReceiptView = z.strictObject({
  id: z.string().describe('rcp_…'),
  body: z.string().describe('what the receiver signed: deterministic CBOR, hex'),
  signature: z.string().describe('Ed25519 by the key inside the receiver’s peer id, hex'),
})

export const TransferView = z.strictObject({
  id: z.string().describe('32 hex digits'),
  direction: z.enum(['sending', 'receiving']),
  peerId: z.string().describe('libp2p peer id, base58btc'),
  peer: z.string().describe('name of the contact'),
  name: z.string().describe('as the sender calls it'),
  state: z
    .enum(['waiting', 'moving', 'finishing', 'done', 'failed', 'cancelled'])
    .describe('waiting: for the peer, or for the connection to come back'),
  size: z.number().nullable().describe('bytes in all; null while unknown'),
  bytes: z.number().describe('bytes confirmed by the receiver'),
  startedAtMs: timeMs,
  endedAtMs: timeMs.nullable(),
  sha256: z.string().nullable().describe('of the whole, hex'),
  path: z.string().nullable().describe('where a received file is'),
  receipt: ReceiptView.nullable(),
  code: z.string().nullable().describe('why it failed or waits'),
})

export const InboxView = z.strictObject({
  id: z.string().describe('in_…'),
  directory: z.string().describe('absolute path'),
  from: z.string().nullable().describe('peer id of the only contact it takes files from; null: all contacts'),
  isOnce: z.boolean().describe('whether it ends after one file'),
  createdAtMs: timeMs,
})

/** What a program that takes bytes with `transfersListen` sends back: how many it has taken for good. */
export const TakenMessage = z.strictObject({ taken: z.int().min(0) })

const transfer = z.strictObject({ transfer: TransferView })

const sendErrors = [
  'NZ_CONTACTS_NOT_FOUND',
  'NZ_CONTACTS_AMBIGUOUS',
  'NZ_NETWORK_UNREACHABLE',
  'NZ_NETWORK_BLOCKED',
  'NZ_TRANSFER_PROTOCOL',
  'NZ_TRANSFERS_NAME',
  'NZ_TRANSFERS_LIMIT',
  'NZ_TRANSFERS_NOT_CONTACT',
  'NZ_TRANSFERS_NOT_RECEIVING',
  'NZ_TRANSFERS_BUSY',
  'NZ_TRANSFERS_TOO_LARGE',
  'NZ_TRANSFERS_NO_SPACE',
  'NZ_TRANSFERS_STORAGE_FAILED',
  'NZ_TRANSFERS_HASH_MISMATCH',
  'NZ_TRANSFERS_CONSUMER_GONE',
  'NZ_TRANSFERS_SOURCE_FAILED',
  'NZ_TRANSFERS_CANNOT_RESUME',
  'NZ_TRANSFERS_CANCELLED',
  'NZ_TRANSFERS_TIMED_OUT',
  'NZ_TRANSFERS_RECEIPT_INVALID',
  'NZ_TRANSFERS_FAILED',
] as const

export const transfersContract = defineContract({
  transfersList: {
    method: 'GET',
    path: '/transfers',
    kind: 'call',
    summary: 'List transfers, active ones first, and the folders that receive',
    command: ['transfers'],
    schemaName: 'nz.transfers/1',
    params: z.strictObject({
      limit: z.number().int().min(1).max(1_000).default(50).describe('most transfers to return'),
    }),
    result: z.strictObject({ transfers: z.array(TransferView), inboxes: z.array(InboxView) }),
    capability: 'transfers.read',
    errors: [],
  },
  transfersCancel: {
    method: 'POST',
    path: '/transfers/cancel',
    kind: 'call',
    summary: 'Cancel a transfer, or forget an unfinished one',
    command: ['transfers', 'cancel'],
    positional: ['id'],
    schemaName: 'nz.transfer/1',
    params: z.strictObject({ id: z.string().min(6).max(32).describe('id of the transfer, or its beginning') }),
    result: transfer,
    capability: 'transfers.write',
    errors: ['NZ_TRANSFERS_UNKNOWN'],
  },
  transfersSendFile: {
    method: 'POST',
    path: '/transfers/send-file',
    kind: 'stream',
    summary: 'Send a file of this machine; ends with the receipt, and cancels when the reader goes away',
    command: ['send'],
    positional: ['peer', 'name', 'path'],
    schemaName: 'nz.send/1',
    params: z.strictObject({
      peer,
      name,
      path: z.string().min(1).max(4_096).describe('absolute path on the machine of the node'),
      timeoutMs,
    }),
    result: transfer,
    capability: 'files.read',
    errors: [...sendErrors, 'NZ_TRANSFERS_SOURCE_UNREADABLE', 'NZ_TRANSFERS_SOURCE_CHANGED'],
  },
  transfersSend: {
    method: 'POST',
    path: '/transfers/send',
    kind: 'duplex',
    summary: 'Send the bytes written to this connection; messages tell how it goes, the last has the receipt',
    command: ['send'],
    schemaName: 'nz.send/1',
    params: z.strictObject({ peer, name, timeoutMs }),
    result: transfer,
    capability: 'transfers.write',
    errors: sendErrors,
  },
  transfersListen: {
    method: 'POST',
    path: '/transfers/listen',
    kind: 'duplex',
    summary: 'Take the bytes of one transfer of a name; say {taken} for what was taken for good',
    command: ['listen'],
    schemaName: 'nz.transfer/1',
    params: z.strictObject({
      name,
      from: peer.optional().describe('only from this contact'),
    }),
    result: transfer,
    capability: 'transfers.write',
    errors: [
      'NZ_CONTACTS_NOT_FOUND',
      'NZ_CONTACTS_AMBIGUOUS',
      'NZ_TRANSFERS_NAME_TAKEN',
      'NZ_TRANSFERS_CONSUMER_GONE',
      'NZ_TRANSFERS_HASH_MISMATCH',
      'NZ_TRANSFERS_CANCELLED',
      'NZ_TRANSFERS_SOURCE_FAILED',
      'NZ_TRANSFERS_INTERRUPTED',
      'NZ_TRANSFERS_FAILED',
      'NZ_TRANSFER_PROTOCOL',
    ],
  },
  transfersReceive: {
    method: 'POST',
    path: '/transfers/receive',
    kind: 'call',
    summary: 'Receive files of contacts into a folder until stopped, also after a restart of the node',
    command: ['receive'],
    schemaName: 'nz.inbox/1',
    params: z.strictObject({
      directory: z.string().min(1).max(4_096).describe('absolute path on the machine of the node'),
      from: peer.optional().describe('only from this contact'),
      once: z.boolean().default(false).describe('end after one file'),
    }),
    result: z.strictObject({ inbox: InboxView }),
    capability: 'files.write',
    errors: ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS', 'NZ_TRANSFERS_DIRECTORY'],
  },
  transfersWatchInbox: {
    method: 'GET',
    path: '/transfers/receive/watch',
    kind: 'stream',
    summary: 'What a receiving folder gets: files since a time, then what comes, until it is stopped',
    command: ['receive', 'watch'],
    positional: ['id'],
    schemaName: 'nz.inbox.event/1',
    params: z.strictObject({
      id: z.string().min(1).max(64).describe('in_…'),
      seen: z.array(z.string().max(32)).max(1_000).default([]).describe('ids of transfers that need not be told again'),
      sinceMs: z.number().min(0).default(0).describe('milliseconds since 1970'),
    }),
    result: z.strictObject({
      type: z.enum(['received', 'progress', 'closed']),
      transfer: TransferView.nullable(),
    }),
    capability: 'transfers.read',
    errors: ['NZ_TRANSFERS_UNKNOWN'],
  },
  transfersStopInbox: {
    method: 'POST',
    path: '/transfers/receive/stop',
    kind: 'call',
    summary: 'Stop receiving into a folder; unfinished files stay for a later receive',
    command: ['receive', 'stop'],
    positional: ['id'],
    schemaName: 'nz.inbox.stopped/1',
    params: z.strictObject({ id: z.string().min(1).max(64).describe('in_…, see: nzcore transfers') }),
    result: z.strictObject({ id: z.string() }),
    capability: 'files.write',
    errors: [],
  },
})
