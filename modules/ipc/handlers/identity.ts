/** Handlers of the group `identity`. */
import type { identityContract } from '../../../protocols/ipc/contract/identity.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { HomeService } from '../../home/service.ts'
import type { IdentityFactsService } from '../../identity/service.ts'

export interface IdentityServices {
  readonly home: HomeService
  readonly facts: IdentityFactsService
}

export function identityHandlers({ home, facts }: IdentityServices): Handlers<typeof identityContract> {
  return {
    async identityShow() {
      const { self, protection, createdAtMs, isBackedUp } = await facts.facts()
      const hex = (key: Uint8Array): string => Buffer.from(key).toString('hex')
      return {
        profile: home.paths.profile,
        id: self.id,
        peerId: self.peerId,
        fingerprint: [...self.fingerprint],
        nodePublicKey: hex(self.nodePublicKey),
        signingPublicKey: hex(self.signingPublicKey),
        boxPublicKey: hex(self.boxPublicKey),
        protection,
        createdAtMs,
        isBackedUp,
      }
    },
  }
}
