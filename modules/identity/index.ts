/** Who this node is: creates the identity of the profile when there is none, unlocks it, and lends its keys. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { HomeService } from '../home/service.ts'
import { createIdentityAdmin } from './admin.ts'
import { passphraseSource } from './passphrase.ts'
import { identityEvents, IdentityFactsService, IdentityService } from './service.ts'
import type { IdentityAdmin, IdentityFacts, PassphraseSource } from './service.ts'

export { createIdentityAdmin, openIdentityAdmin } from './admin.ts'
export { passphraseSource } from './passphrase.ts'

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
      const given = remembered(passphrase)
      const admin = createIdentityAdmin({
        home: home.paths,
        clock,
        passphrase: given.source,
        ...(scryptLogN === undefined ? {} : { scryptLogN }),
      })
      try {
        await admin.settle()
        if ((await admin.facts()) === null) {
          const { self, protection } = await created(admin, given.source)
          log.info('identity.created', { peerId: self.peerId, protection })
          events.emit(identityEvents.created, { peerId: self.peerId })
        }
        const identity = await admin.unlock()
        scope.defer(() => identity[Symbol.dispose]())
        const { self, protection } = identity
        events.emit(identityEvents.unlocked, { peerId: self.peerId, protection })
        return { services: { identity, facts: { facts: async () => await admin.presentFacts() } } }
      } finally {
        given.forget()
      }
    },
  })
}

export default identityModule()

async function created(admin: IdentityAdmin, source: PassphraseSource): Promise<IdentityFacts> {
  const passphrase = await source()
  try {
    return await admin.create({ passphrase })
  } finally {
    passphrase?.fill(0)
  }
}

/** Asks `source` once, for creating and unlocking; `forget` zeroes what it said. */
function remembered(source: PassphraseSource): { readonly source: PassphraseSource; forget(): void } {
  let answer: Promise<Uint8Array | null> | undefined
  let bytes: Uint8Array | null = null
  return {
    source: async () => {
      answer ??= source()
      bytes = await answer
      return bytes === null ? null : Uint8Array.from(bytes)
    },
    forget: () => bytes?.fill(0),
  }
}
