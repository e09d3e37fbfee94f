/** Why a packet is not taken or a channel ends (NZ-CHANNEL-01 §8). */
import { defineErrors } from '../../kernel/index.ts'

const dropped = {
  fix: ['nothing has to be done for single packets; when it goes on: nzcore doctor'],
  status: 502,
  exit: 'unreachable',
  retryable: true,
} as const
const ended = {
  fix: ['open the channel again: a new one has fresh keys'],
  status: 502,
  exit: 'unreachable',
  retryable: true,
} as const

export const channelErrors = defineErrors({
  NZ_CHANNEL_MALFORMED: { message: 'that is no packet of a channel', ...dropped },
  NZ_CHANNEL_UNKNOWN: { message: 'the packet belongs to no channel that is open here', ...dropped },
  NZ_CHANNEL_EPOCH: { message: 'the packet is of an epoch whose keys are gone or not agreed yet', ...dropped },
  NZ_CHANNEL_REPLAYED: { message: 'the packet was received before', ...dropped },
  NZ_CHANNEL_TOO_OLD: { message: 'the packet comes too late to tell whether it was received before', ...dropped },
  NZ_CHANNEL_FORGED: { message: 'the packet does not authenticate', ...dropped },
  NZ_CHANNEL_EXHAUSTED: { message: 'the keys of the channel were used as often as they may', ...ended },
  NZ_CHANNEL_EXPIRED: { message: 'the keys of the channel are too old, and no new ones were agreed', ...ended },
  NZ_CHANNEL_TOO_LARGE: {
    message: 'the payload is larger than a packet may carry',
    fix: ['send less at once'],
    status: 413,
    exit: 'failed',
    retryable: false,
  },
  NZ_CHANNEL_CLOSED: { message: 'the channel is closed', ...ended },
})

export type ChannelCode = keyof typeof channelErrors
