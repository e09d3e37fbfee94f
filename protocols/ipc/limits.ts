/** Bounds of the local API; both sides know them, tests stand at each. */

/** Request line and headers together. */
export const MAX_HEADER_BYTES = 16_384
/** JSON body of a `POST`; application bytes travel by duplex instead. */
export const MAX_BODY_BYTES = 1_048_576
/** How long a client may take to send its headers. */
export const HEADERS_DEADLINE_MS = 10_000
/** How long a client may take to send a whole request. */
export const REQUEST_DEADLINE_MS = 30_000
/** How long a call may take to answer, unless its endpoint says otherwise. */
export const CALL_DEADLINE_MS = 60_000
/** How long a caller waits for an answer: longer than any call's deadline, so that a node that works answers first. */
export const CALLER_DEADLINE_MS = 65_000
/** Connections on one listener; one more is told so and closed. */
export const MAX_CONNECTIONS = 256
/** Streams and duplexes that one caller (the owner, or one token) may hold open at once. */
export const MAX_STREAMS_PER_CALLER = 64
/** A stream without events sends a comment this often, so that both sides notice a dead connection. */
export const STREAM_HEARTBEAT_MS = 15_000
/** Bytes the node holds for a slow reader of one stream before it stops asking the source for more. */
export const STREAM_BUFFER_BYTES = 65_536
/** One server-sent event as the client accepts it. */
export const MAX_EVENT_BYTES = 1_048_576
/** One answer as the client accepts it. */
export const MAX_ANSWER_BYTES = 16_777_216
