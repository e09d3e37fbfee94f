/** Who this node is: creates the identity of the profile when there is none, unlocks it, and lends its keys. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { HomeService } from '../home/service.ts'
import { createIdentityAdmin, identityServiceOf } from './admin.ts'
import { IdentityKeys } from './keys.ts'
import { passphraseSource } from './passphrase.ts'
import { entropyOf } from './words.ts'
import { identityEvents, IdentityFactsService, IdentityService } from './service.ts'
import type { FileIdentityAdmin } from './admin.ts'
import type { PassphraseSource } from './service.ts'

export { createIdentityAdmin, openIdentityAdmin } from './admin.ts'
export { passphraseSource } from './passphrase.ts'
export { entropyOf, phraseOf } from './words.ts'

/** The identity of 24 words, without a keystore, until it is disposed of. @throws NZ_IDENTITY_WORDS_INVALID */
export async function identityOfWords(phrase: Uint8Array): Promise<IdentityService & Disposable> {
  const entropy = entropyOf(phrase)
  try {
    return identityServiceOf(await IdentityKeys.derive(entropy), 'key-file')
  } finally {
    entropy.fill(0)
  }
}
export { verifyFor } from '../../protocols/identity/signature.ts'

export interface IdentityModuleInit {
  /** Where the passphrase comes from; default: `NZ_PASSPHRASE_FILE`, else `NZ_PASSPHRASE_FD`, else none. */
  readonly passphrase?: PassphraseSource
  /** Cost of scrypt for new passphrases, as a power of two from 14 to 18; default 17. */
  readonly scryptLogN?: number
}

/** The module with the composition's own source of passphrases. */
export function identityModule({
  passphrase = passphraseSource({ env: process.env }),
  scryptLogN,
}: IdentityModuleInit = {}) {
  return defineModule({
    name: 'identity',
    config: z.strictObject({}),
    requires: { home: HomeService },
    provides: { identity: IdentityService, facts: IdentityFactsService },
    emits: identityEvents,
    capabilities: ['identity.read'],
    restart: 'essential',

    async setup({ clock, events, log, scope }, { home }) {
      const admin = createIdentityAdmin({
        home: home.paths,
        clock,
        passphrase,
        ...(scryptLogN === undefined ? {} : { scryptLogN }),
      })
      await admin.settle()
      const isNew = (await admin.facts()) === null
      const identity = isNew ? await created(admin, passphrase) : await admin.unlock()
      scope.defer(() => identity[Symbol.dispose]())
      const { self, protection } = identity
      if (isNew) {
        log.info('identity.created', { peerId: self.peerId, protection })
        events.emit(identityEvents.created, { peerId: self.peerId })
      }
      events.emit(identityEvents.unlocked, { peerId: self.peerId, protection })
      return { services: { identity, facts: { facts: async () => await admin.presentFacts() } } }
    },
  })
}

export default identityModule()

async function created(admin: FileIdentityAdmin, source: PassphraseSource): Promise<IdentityService & Disposable> {
  const passphrase = await source()
  try {
    return await admin.createUnlocked({ passphrase })
  } finally {
    passphrase?.fill(0)
  }
}
