/** Why a peer loses its connection over yamux. */
import { defineErrors } from '../../kernel/index.ts'

const broken = { status: 502, exit: 'unreachable', retryable: true } as const
const hostile = 'connect again; when it stays, the peer is broken or hostile: nzcore block <peer>'

export const muxerErrors = defineErrors({
  NZ_MUXER_FRAME_INVALID: { message: 'the peer broke the rules of multiplexing', fix: [hostile], ...broken },
  NZ_MUXER_WINDOW_EXCEEDED: {
    message: 'the peer sent more than it was allowed to',
    fix: [hostile],
    ...broken,
  },
  NZ_MUXER_FLOODED: {
    message: 'the peer asks for answers and does not take them',
    fix: [hostile],
    ...broken,
  },
  NZ_MUXER_GONE_AWAY: {
    message: 'the peer has ended the connection because of an error',
    fix: ['connect again; its log may say more: nzcore logs (on its machine)'],
    ...broken,
  },
  NZ_MUXER_EXHAUSTED: {
    message: 'a connection has had as many streams as there are numbers',
    fix: ['connect again'],
    ...broken,
  },
})
