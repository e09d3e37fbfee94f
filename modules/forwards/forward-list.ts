/** The forwards of this profile, in the store. */
import { z } from 'zod'
import { isServiceName } from '../../protocols/forward/header.ts'
import type { Health } from '../../kernel/index.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'
import { forwardsErrors } from './service.ts'

const NAMESPACE = 'forwards'
const OLDER_FILE = 'forwards.json'
/** Most forwards of one profile, of both kinds. */
export const MAX_FORWARDS = 64
/** Most peers that one service may be allowed to. */
const MAX_ALLOWED_PEERS = 1_024

const base = {
  forwardId: z.string().regex(/^fwd_[0-9a-f]{8}$/),
  service: z.string().refine(isServiceName, 'not a service name'),
  host: z.string().min(1).max(253),
  port: z.number().int().min(1).max(65_535),
}
const StoredForward = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('local'), ...base, peerId: z.string().min(1).max(64) }),
  z.strictObject({
    kind: z.literal('exposed'),
    ...base,
    allow: z.array(z.string().min(1).max(64)).max(MAX_ALLOWED_PEERS).nullable(),
  }),
])
const StoredList = z.strictObject({ version: z.literal(1), forwards: z.array(StoredForward).max(MAX_FORWARDS) })

export type StoredForward = z.output<typeof StoredForward>
type StoredExposed = StoredForward & { readonly kind: 'exposed' }

export class ForwardList {
  readonly #stored: StoredMap<StoredForward>

  constructor(storage: Pick<StorageService, 'map'>, { onLoaded }: { readonly onLoaded: () => void }) {
    this.#stored = storage.map(NAMESPACE, {
      schema: StoredForward,
      older: { file: OLDER_FILE, records: (bytes) => parse(bytes).map((forward) => [forward.forwardId, forward]) },
      onLoaded,
    })
  }

  /** @throws NZ_FORWARD_DAMAGED; the file of an older version is left as it is */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  get isReadable(): boolean {
    return this.#stored.trouble === null
  }

  health(): Health {
    return this.#stored.health('nothing is forwarded until then')
  }

  /** By service. @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  all(): readonly StoredForward[] {
    const byService = ({ service, forwardId }: StoredForward): string => `${service} ${forwardId}`
    return [...this.#stored.values.values()].toSorted((a, b) => (byService(a) < byService(b) ? -1 : 1))
  }

  /** Nothing is offered while the list cannot be read. */
  exposed(service: string): StoredExposed | undefined {
    if (this.#stored.trouble !== null) return undefined
    for (const forward of this.#stored.values.values()) {
      if (forward.kind === 'exposed' && forward.service === service) return forward
    }
    return undefined
  }

  /** @throws NZ_FORWARD_INVALID, NZ_FORWARD_EXISTS, NZ_FORWARD_TOO_MANY */
  async add(forward: StoredForward): Promise<void> {
    const parsed = StoredForward.safeParse(forward)
    if (!parsed.success) {
      throw forwardsErrors.NZ_FORWARD_INVALID({ why: parsed.error.issues[0]?.message ?? '', cause: parsed.error })
    }
    await this.#stored.change((forwards) => {
      if (forward.kind === 'exposed' && this.exposed(forward.service) !== undefined) {
        throw forwardsErrors.NZ_FORWARD_EXISTS({ data: { service: forward.service } })
      }
      if (forwards.size >= MAX_FORWARDS) throw forwardsErrors.NZ_FORWARD_TOO_MANY({ data: { limit: MAX_FORWARDS } })
      return { put: [[forward.forwardId, forward]], result: undefined }
    })
  }

  /** @throws NZ_FORWARD_NOT_FOUND */
  async remove(reference: string): Promise<StoredForward> {
    const named = this.all().filter(({ forwardId, service }) => forwardId === reference || service === reference)
    const [found] = named
    if (found === undefined || (named.length > 1 && found.forwardId !== reference)) {
      const why = named.length > 1 ? 'several have that name: give the id' : 'no forward has that id or name'
      throw forwardsErrors.NZ_FORWARD_NOT_FOUND({ why, data: { reference: reference.slice(0, 64) } })
    }
    await this.#stored.change(() => ({ remove: [found.forwardId], result: undefined }))
    return found
  }

  /** Takes the peers that `isGone` says are gone out of what services are allowed to; a list may become empty. */
  async forget(isGone: (peerId: string) => boolean): Promise<void> {
    const names = ({ allow }: StoredExposed): boolean => allow?.some(isGone) === true
    const isNaming = (forward: StoredForward): forward is StoredExposed => forward.kind === 'exposed' && names(forward)
    if (!this.all().some(isNaming)) return
    await this.#stored.change((forwards) => {
      const kept = (allow: StoredExposed['allow']): StoredExposed['allow'] =>
        allow?.filter((peerId) => !isGone(peerId)) ?? null
      const changed = [...forwards.values()].filter(isNaming).map((one) => ({ ...one, allow: kept(one.allow) }))
      return { put: changed.map((one) => [one.forwardId, one] as const), result: undefined }
    })
  }
}

/** The forwards of version 0.1.0. */
function parse(bytes: Uint8Array): readonly StoredForward[] {
  try {
    const { forwards } = StoredList.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    if (new Set(forwards.map(({ forwardId }) => forwardId)).size !== forwards.length)
      throw new Error('an id occurs twice')
    return forwards
  } catch (error) {
    throw forwardsErrors.NZ_FORWARD_DAMAGED({ cause: error, data: { file: OLDER_FILE } })
  }
}
