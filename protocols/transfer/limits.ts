/** Protocol id and limits of the transfer stream, spec/NZ-TRANSFER-01 §2. */

export const TRANSFER_PROTOCOL = '/nzcore/transfer/1'

/** A receipt's signature verifies for nothing else. */
export const RECEIPT_PURPOSE = 'nzcore/receipt/1'

/** Type (1 byte) and payload length (4 bytes, big-endian). */
export const FRAME_HEADER_BYTES = 5

/** Largest payload of a control frame; bounds every decoder allocation. */
export const MAX_CONTROL_BYTES = 4_096

/** Largest payload of a data frame. */
export const MAX_DATA_BYTES = 262_144

/** Bytes a sender may have sent that the receiver has not acknowledged; also the most that a receiver buffers. */
export const WINDOW_BYTES = 8_388_608

/** Longest offered name in UTF-8 bytes. What it becomes in a folder is shorter (name.ts). */
export const MAX_OFFERED_NAME_BYTES = 1_024

/** Bytes of a transfer id and of a resume token. */
export const TRANSFER_ID_BYTES = 16

/** A side that has nothing to send says so this often. */
export const ALIVE_INTERVAL_MS = 10_000

/** A stream without any frame for this long is dead. */
export const IDLE_TIMEOUT_MS = 30_000
