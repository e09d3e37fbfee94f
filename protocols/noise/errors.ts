/** Error codes of the Noise protocol framework. */
import { defineErrors } from '../../kernel/index.ts'

const broken = { status: 502, exit: 'unreachable', retryable: true } as const

export const noiseErrors = defineErrors({
  NZ_NOISE_UNAUTHENTIC: {
    message: 'an encrypted message does not authenticate',
    fix: ['connect again; when it stays, something on the path alters traffic: nzcore doctor'],
    ...broken,
  },
  NZ_NOISE_MALFORMED: {
    message: 'a handshake message has the wrong length',
    fix: ['check that the address belongs to a libp2p node'],
    ...broken,
  },
  NZ_NOISE_KEY_REFUSED: {
    message: 'a public key of the peer gives no secret',
    fix: ['the peer is broken or hostile: nzcore block <peer>'],
    ...broken,
  },
  NZ_NOISE_EXHAUSTED: {
    message: 'an encryption key has been used as often as it may',
    fix: ['connect again; a fresh connection has fresh keys'],
    ...broken,
  },
})
