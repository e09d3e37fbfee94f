/** The limits and times of NZ-ROUTING-01 §1. */

/** Of a message on a link, everything included. */
export const MAX_MESSAGE_BYTES = 18_432
/** Of a packet of a flow. */
export const MAX_PAYLOAD_BYTES = 17_408
/** Keys in a path: the source, the relays; the destination appends nothing. */
export const MAX_HOPS = 16
export const MAX_METRIC = 0xff_ffff
export const MAX_SEQUENCE = 2 ** 48
export const MAX_NEIGHBOURS = 256
export const MAX_DESTINATIONS = 4_096
/** Routes in one announcement. */
export const MAX_ANNOUNCED = 128
export const MAX_FLOWS = 4_096
export const MAX_FLOWS_PER_SOURCE = 256
/** Sources whose sequences are remembered, and sequences of each. */
export const MAX_SOURCES = 4_096
export const MAX_SEQUENCES_PER_SOURCE = 64
/** Requests for a sequence that were passed on lately. */
export const MAX_REQUESTS = 1_024
/** Counters behind the latest of a link that may still come. */
export const LINK_WINDOW = 1_024
/** Messages to a neighbour, and their bytes, that wait for its confirmation; further ones are sent once. */
export const MAX_UNCONFIRMED = 512
export const MAX_UNCONFIRMED_BYTES = 1_048_576
/** How often a message that is not confirmed is sent again: first after so long, or two round trips; doubled each time. */
export const MAX_REPEATS = 4
export const REPEAT_AFTER_MS = 300

export const HELLO_INTERVAL_MS = 1_000
/** Hellos that the delivery probability is measured over. */
export const HELLO_WINDOW = 16
/** A neighbour that was not heard of for so long is gone. */
export const NEIGHBOUR_TIMEOUT_MS = 4_500
/** A link that is not open is offered anew. */
export const OPEN_INTERVAL_MS = 1_000
export const ANNOUNCE_INTERVAL_MS = 5_000
/** News of routes is told at once, but not again before so long: what changes until then is told together. */
export const NEWS_INTERVAL_MS = 200
/** A route that was not announced again for so long is gone. */
export const ROUTE_TIMEOUT_MS = 17_500
/** How long a feasibility distance outlives its last route. */
export const FEASIBILITY_MEMORY_MS = 300_000
export const REQUEST_INTERVAL_MS = 1_000
/** A flow in which nothing moved for so long is gone. */
export const FLOW_IDLE_MS = 60_000
/** A setup that was not answered for so long has failed. */
export const SETUP_TIMEOUT_MS = 5_000
/** How far a clock may be behind when a node has just started and remembers no sequences. */
export const CLOCK_TOLERANCE_MS = 300_000
/** How often a source sets a path up again with a later sequence before it gives up. */
export const MAX_RENEWALS = 6
/** How far above what it was told the first time; then four times as far each time. Two clocks may each be an hour wrong. */
export const RENEWAL_LEAD_MS = 7_200_000
/** How far above its own clock a source lets its sequence be moved by what others remember. */
export const MAX_SEQUENCE_LEAD_MS = 604_800_000
