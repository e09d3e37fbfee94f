/** Bounds of handshakes (NZ-HANDSHAKE-01 §1). */

/** From the first message to a finished handshake. */
export const HANDSHAKE_TIMEOUT_MS = 15_000
/** Until a message without an answer is sent again; doubled each time. */
export const FIRST_RESEND_MS = 500
export const MAX_RESEND_MS = 2_000
/** Unanswered messages after which the initiator goes on to the next pattern. */
export const SENDS_BEFORE_FALLBACK = 3
/** Messages that one handshake tries to authenticate at once, and how soon one more: each costs key agreements. */
export const MAX_TRIES = 8
export const TRY_EVERY_MS = 250
/** HELLOs of one handshake whose answers may still be finished: the first ones, and the latest. */
export const MAX_ANSWERED = 4
/** Cookies that an initiator follows. */
export const MAX_RETRIES = 3
export const COOKIE_BYTES = 16
export const TICKET_ID_BYTES = 16
export const MAX_PURPOSE_BYTES = 64
export const MAX_VERSIONS = 8
/** Versions of the handshake that this code speaks. */
export const HANDSHAKE_VERSIONS: readonly number[] = [1]
