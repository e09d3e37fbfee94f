/** Bounds of trust statements and their replication (NZ-TRUST-01 §1). */

export const MAX_UPDATE_BYTES = 512
export const MAX_SEQUENCE = 2 ** 40
/** Of seconds since 1970. */
export const MAX_SECONDS = 2 ** 40
export const MAX_UPDATES_PER_ISSUER = 65_536
export const MAX_UPDATES = 1_048_576
export const MAX_ISSUERS = 131_072
/** Updates that wait for their predecessors. */
export const MAX_WAITING = 4_096
export const MAX_WAITING_PER_ISSUER = 256
/** Peers that one issuer may revoke. */
export const MAX_REVOCATIONS_PER_ISSUER = 4_096
/** Statements in a path of trust. */
export const MAX_PATH = 4
export const MAX_VOUCH_DEPTH = MAX_PATH - 1
/** Statements looked at for one answer. */
export const MAX_STATEMENTS_VISITED = 65_536
export const MAX_PATHS_SHOWN = 8
/** How far the clocks of honest nodes may differ. */
export const CLOCK_TOLERANCE_S = 300
