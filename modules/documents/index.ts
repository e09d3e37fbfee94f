/** Versioned documents in the store. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { IdentityService } from '../identity/service.ts'
import { StorageService } from '../storage/service.ts'
import { Documents } from './documents.ts'
import { documentEvents, DocumentsService } from './service.ts'
import { Shelf } from './shelf.ts'

const config = z.strictObject({
  maxVersions: z.int().min(1).max(100_000).default(10_000).describe('versions that one document may have'),
  maxHeads: z.int().min(2).max(256).default(16).describe('heads that one document may have at the same time'),
})

export default defineModule({
  name: 'documents',
  config,
  requires: { identity: IdentityService, storage: StorageService },
  provides: { documents: DocumentsService },
  emits: documentEvents,
  capabilities: ['docs.read', 'docs.write'],
  restart: 'permanent',

  setup({ clock, events }, { identity, storage }, limits) {
    const shelf = new Shelf(storage.namespace('documents'))
    return { services: { documents: new Documents({ shelf, identity, clock, events }, limits) } }
  },
})
