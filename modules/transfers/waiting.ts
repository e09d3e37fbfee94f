/** An unfinished file as a transfer that waits for its sender. */
import type { TransferSnapshot } from './service.ts'
import type { PartialRecord } from './state.ts'

/** `peer` is the name of its sender in the contacts; default: the peer id. */
export function waitingSnapshot(record: PartialRecord, peer: string = record.peerId): TransferSnapshot {
  const { id, peerId, name, size, bytes, createdAtMs } = record
  return {
    id,
    direction: 'receiving',
    peerId,
    peer,
    name,
    state: 'waiting',
    size,
    bytes,
    startedAtMs: createdAtMs,
    endedAtMs: null,
    sha256: null,
    path: null,
    receipt: null,
    code: 'NZ_NETWORK_STREAM_RESET',
  }
}
