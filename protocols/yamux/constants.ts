/** Numbers of the yamux protocol (https://github.com/hashicorp/yamux/blob/master/spec.md). */

export const PROTOCOL = '/yamux/1.0.0'
export const VERSION = 0
export const HEADER_BYTES = 12

export const FRAME = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const

export const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const

export const GO_AWAY = { normal: 0, protocolError: 1, internalError: 2 } as const

/** The stream that stands for the session. */
export const SESSION_ID = 0
export const MAX_STREAM_ID = 0xffff_ffff
export const MAX_LENGTH = 0xffff_ffff

/** Each side may send this much on a new stream. */
export const INITIAL_WINDOW_BYTES = 262_144

/** Streams a side may have opened that the other has not acknowledged; what others keep to as well. */
export const MAX_UNACKNOWLEDGED_STREAMS = 256
