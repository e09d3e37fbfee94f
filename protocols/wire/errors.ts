/** Why bytes of a peer are no frames or messages of NZ-WIRE-01 (§8): one code and one number on the wire for each. */
import { defineErrors } from '../../kernel/index.ts'

const broken = {
  fix: ['run the same version of nzcore on both machines: nzcore version', 'nzcore block <peer> when it stays'],
  status: 502,
  exit: 'incompatible',
  retryable: false,
} as const

export const wireErrors = defineErrors({
  NZ_WIRE_MALFORMED: { message: 'the bytes of the peer are no frame', ...broken },
  NZ_WIRE_VERSION: { message: 'the peer speaks another version of the wire format', ...broken },
  NZ_WIRE_TYPE: { message: 'a frame has a type that is not known here', ...broken },
  NZ_WIRE_FLAGS: { message: 'a frame has flags that its type does not know', ...broken },
  NZ_WIRE_MESSAGE: { message: 'a frame belongs to no message that is under way', ...broken },
  NZ_WIRE_MESSAGE_TOO_LARGE: { message: 'a message is larger than 64 MiB', ...broken },
  NZ_WIRE_MESSAGES: { message: 'the peer has more messages under way than it may', ...broken },
  NZ_WIRE_CREDIT: { message: 'the peer sent more of a message than it was asked for', ...broken },
  NZ_WIRE_COMPRESSION: { message: 'compressed bytes are not what they are said to be', ...broken },
  NZ_WIRE_BOMB: { message: 'compressed bytes would grow beyond what is allowed', ...broken },
  NZ_WIRE_TOO_LARGE: { message: 'a frame is larger than its type allows', ...broken },
})

export type WireCode = keyof typeof wireErrors
