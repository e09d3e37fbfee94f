/** Bounds of records, tables, lookups and messages of discovery (NZ-DISCOVERY-01 §1). */

export const MAX_RECORD_BYTES = 2_048
export const MAX_VALUE_BYTES = 1_024
export const MAX_ADDRESSES = 8
export const MAX_ADDRESS_LENGTH = 160
export const MAX_NAME_LENGTH = 64
export const MAX_VERSION_LENGTH = 32
export const MAX_CAPABILITIES = 8
/** Of milliseconds since 1970. */
export const MAX_SEQUENCE = 2 ** 48
export const MAX_TTL_S = 604_800
/** How far the clocks of honest nodes may differ. */
export const CLOCK_TOLERANCE_MS = 300_000

/** Nodes that hold a record, nodes of an answer, and the least size of a bucket. */
export const K = 20
/** The first buckets hold the far half, quarter, … of all nodes: more of them make lookups shorter. */
export const FIRST_BUCKET = 128
/** Peers that wait for a place in a full bucket. */
export const MAX_REPLACEMENTS = 8
/** Peers of one address range in a bucket, and in the whole table. */
export const MAX_RANGE_PER_BUCKET = 2
export const MAX_RANGE_PER_TABLE = 16
/** Requests in a row that go unanswered before a peer leaves the table. */
export const MAX_FAILURES = 2
/** How much longer a connected peer may be silent before it is asked: its record has to be renewed all the same. */
export const CONNECTED_IDLE_FACTOR = 4
/** How much longer one may be that has been there for long; its record is current for longer than that. */
export const MAX_PATIENCE = 8
/** Buckets that a survey asks for: those of the whole space but the 256th part around the node. */
export const MAX_SURVEYED_BUCKETS = 8

/** Ways of a lookup that share no node. */
export const PATHS = 3
/** Requests under way on each of them. */
export const PARALLEL_PER_PATH = 2
/** Nodes of one address range that a lookup asks, and that count among the closest. */
export const MAX_RANGE_ASKED = 4
export const MAX_RANGE_COUNTED = 2
/** How much denser than elsewhere nodes may stand around a target before that is taken for an attack. */
export const CROWDED_FACTOR = 4
/** Parts of the space around a crowded target that are searched each by itself: a power of two. */
export const CELLS = 8
/** Nodes that are asked, and hold a record, around a crowded target. */
export const MAX_REGION = 96
/** Requests and known nodes of one lookup. */
export const MAX_ASKED = 192
export const MAX_CANDIDATES = 512

export const MAX_RECORDS = 16_384
export const MAX_RECORDS_BYTES = 8_388_608
export const MAX_RECORDS_PER_KEY = 64
export const MAX_RECORDS_PER_SIGNER = 256
/** That one peer has brought, whoever signed them. */
export const MAX_RECORDS_PER_PEER = 1_024

export const MAX_MESSAGE_BYTES = 262_144
/** Records of a store request. */
export const MAX_STORED = 16
