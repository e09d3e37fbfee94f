/** Error codes of multistream-select. */
import { defineErrors } from '../../kernel/index.ts'

const broken = { status: 502, exit: 'unreachable', retryable: true } as const

export const multistreamErrors = defineErrors({
  NZ_MULTISTREAM_INVALID: {
    message: 'the peer does not speak multistream-select',
    fix: ['check that the address belongs to a libp2p node'],
    ...broken,
  },
  NZ_MULTISTREAM_REFUSED: {
    message: 'the peer speaks no protocol that was offered',
    fix: ['check that the peer runs a current version of libp2p'],
    ...broken,
  },
})
