/** Bounds of messages (NZ-WIRE-01 §1). Those of frames stand with their types in frame.ts. */

export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024
/** Messages of one side that were opened and not taken yet. */
export const MAX_OPEN_MESSAGES = 64
/** Bytes of a message that may be sent before any were asked for. */
export const INITIAL_CREDIT_BYTES = 16_384
/** Most bytes asked for and not received, of one message. */
export const CREDIT_WINDOW_BYTES = 1_048_576
/** Bytes of messages that a receiver holds of one peer, beyond the initial credit of each. */
export const REASSEMBLY_BYTES = MAX_MESSAGE_BYTES
/** How many times more bytes may come out of compressed ones. */
export const MAX_RATIO = 1_024
/** Compressed chunks may look back this far. */
export const MAX_WINDOW_LOG = 17
