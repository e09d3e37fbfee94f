/** The limits and times of streams over paths (NZ-ROUTING-01 §9). */

/** Of a stream, in one segment. */
export const SEGMENT_BYTES = 16_384
/** What a reader that has stopped holds. */
export const RECEIVE_WINDOW_BYTES = 1_048_576
/** Pieces that came before their time, of a stream. */
export const MAX_EARLY_PIECES = 256
/** Bytes of a stream that wait to be sent; above it writers wait. */
export const SEND_BUFFER_BYTES = 1_048_576
/** Ranges in one acknowledgement. */
export const MAX_RANGES = 16
export const MAX_STREAM = 2 ** 32 - 1
export const MAX_OFFSET = 2 ** 48 - 1
/** Streams of a session that are open at once. */
export const MAX_STREAMS = 256
/** Streams that are over and still answered, so that a lost last acknowledgement does no harm. */
export const MAX_ENDED = 512
/** Streams whose number was left out so far: they were overtaken. */
export const MAX_SKIPPED = 256

export const FIRST_TIMEOUT_MS = 1_000
export const MIN_TIMEOUT_MS = 200
export const MAX_TIMEOUT_MS = 8_000
/** Later transmissions that arrived before one counts as lost. */
export const LOST_AFTER = 3
export const FIRST_WINDOW_BYTES = 10 * SEGMENT_BYTES
export const MIN_WINDOW_BYTES = 2 * SEGMENT_BYTES
export const MAX_WINDOW_BYTES = 4 * 1_048_576
/** Tries to tell the peer that a stream was reset. */
export const MAX_RESETS = 6
