/** The recovery key: X25519, derived from the identity, so that the 24 words open every archive. NZ-BACKUP-01 §1. */
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import type { X25519KeyPair } from '../../protocols/noise/x25519.ts'
import type { IdentityService } from '../identity/service.ts'

export const BACKUP_PURPOSE = 'nzcore/backup/1'

export function recoveryKeyOf(identity: Pick<IdentityService, 'deriveKey'>): X25519KeyPair {
  const seed = identity.deriveKey(BACKUP_PURPOSE)
  try {
    return x25519KeyPairFromSeed(seed)
  } finally {
    seed.fill(0)
  }
}
