/** Bounds of channels (NZ-CHANNEL-01 §1). Those of a `ChannelLimits` may be lowered, never raised. */
import { MAX_PACKET_PAYLOAD_BYTES } from '../wire/frame.ts'

/** Packets behind the newest whose repetition is still told from their first arrival. */
export const REPLAY_WINDOW_PACKETS = 2_048
/** Most bytes of one payload. */
export const MAX_PAYLOAD_BYTES = MAX_PACKET_PAYLOAD_BYTES
/** Packets beyond `lastPackets` that are kept for agreeing on new keys. */
export const RESERVED_PACKETS = 1_024
/** How long the keys of the epoch before still open packets that were under way. */
export const EPOCH_OVERLAP_MS = 10_000
/** How long they do when no packet of the new epoch came. */
export const MAX_OVERLAP_MS = 60_000
/** Until a control packet without an answer is sent again; doubled each time. */
export const FIRST_RESEND_MS = 500
export const MAX_RESEND_MS = 2_000
export const MAX_EPOCH = 0xffff_fffe
/** The responder proposes later than the initiator would, so that the two seldom do at once. */
export const RESPONDER_PATIENCE = 1.1

export interface ChannelLimits {
  /** Packets and bytes that one side seals in an epoch, and milliseconds of it, after which new keys are agreed. */
  readonly rekeyPackets: number
  readonly rekeyBytes: number
  readonly rekeyMs: number
  /** The same, after which nothing is sealed or opened any more. */
  readonly lastPackets: number
  readonly lastBytes: number
  readonly lastMs: number
}

export const channelLimits: ChannelLimits = {
  rekeyPackets: 2 ** 20,
  rekeyBytes: 2 ** 30,
  rekeyMs: 600_000,
  lastPackets: 2 ** 24,
  lastBytes: 2 ** 36,
  lastMs: 3_600_000,
}
