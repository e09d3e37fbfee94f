/** The forwards of this profile, in one small durable file. */
import { z } from 'zod'
import { isServiceName } from '../../protocols/forward/header.ts'
import type { HomeService } from '../home/service.ts'
import { forwardsErrors } from './service.ts'

const FILE_NAME = 'forwards.json'
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

export class ForwardList {
  readonly #home: HomeService
  #forwards: readonly StoredForward[]
  #lastChange: Promise<unknown> = Promise.resolve()

  private constructor(home: HomeService, forwards: readonly StoredForward[]) {
    this.#home = home
    this.#forwards = forwards
  }

  /** @throws NZ_FORWARD_DAMAGED; the file is left as it is */
  static async open(home: HomeService): Promise<ForwardList> {
    const bytes = await home.read(FILE_NAME)
    return new ForwardList(home, bytes === null ? [] : parse(bytes))
  }

  all(): readonly StoredForward[] {
    return this.#forwards
  }

  exposed(service: string): (StoredForward & { kind: 'exposed' }) | undefined {
    return this.#forwards.find((forward) => forward.kind === 'exposed' && forward.service === service) as
      | (StoredForward & { kind: 'exposed' })
      | undefined
  }

  /** @throws NZ_FORWARD_INVALID, NZ_FORWARD_EXISTS, NZ_FORWARD_TOO_MANY */
  async add(forward: StoredForward): Promise<void> {
    const parsed = StoredForward.safeParse(forward)
    if (!parsed.success) {
      throw forwardsErrors.NZ_FORWARD_INVALID({ why: parsed.error.issues[0]?.message ?? '', cause: parsed.error })
    }
    await this.#change((forwards) => {
      if (forward.kind === 'exposed' && this.exposed(forward.service) !== undefined) {
        throw forwardsErrors.NZ_FORWARD_EXISTS({ data: { service: forward.service } })
      }
      if (forwards.length >= MAX_FORWARDS) throw forwardsErrors.NZ_FORWARD_TOO_MANY({ data: { limit: MAX_FORWARDS } })
      return [...forwards, forward]
    })
  }

  /** @throws NZ_FORWARD_NOT_FOUND */
  async remove(reference: string): Promise<StoredForward> {
    const named = this.#forwards.filter(({ forwardId, service }) => forwardId === reference || service === reference)
    const [found] = named
    if (found === undefined || (named.length > 1 && found.forwardId !== reference)) {
      const why = named.length > 1 ? 'several have that name: give the id' : 'no forward has that id or name'
      throw forwardsErrors.NZ_FORWARD_NOT_FOUND({ why, data: { reference: reference.slice(0, 64) } })
    }
    await this.#change((forwards) => forwards.filter(({ forwardId }) => forwardId !== found.forwardId))
    return found
  }

  /** Takes the peers that `isGone` says are gone out of what services are allowed to; a list may become empty. */
  async forget(isGone: (peerId: string) => boolean): Promise<void> {
    const names = ({ allow }: { readonly allow: readonly string[] | null }): boolean => allow?.some(isGone) === true
    if (!this.#forwards.some((forward) => forward.kind === 'exposed' && names(forward))) return
    await this.#change((forwards) =>
      forwards.map((forward) =>
        forward.kind === 'exposed' && forward.allow !== null
          ? { ...forward, allow: forward.allow.filter((peerId) => !isGone(peerId)) }
          : forward,
      ),
    )
  }

  /** One change after another; memory changes only when the file has. */
  async #change(step: (forwards: readonly StoredForward[]) => readonly StoredForward[]): Promise<void> {
    const work = async (): Promise<void> => {
      const forwards = step(this.#forwards)
      const text = `${JSON.stringify({ version: 1, forwards }, null, 2)}\n`
      await this.#home.write(FILE_NAME, new TextEncoder().encode(text))
      this.#forwards = forwards
    }
    const mine = this.#lastChange.then(work, work)
    this.#lastChange = mine
    await mine
  }
}

function parse(bytes: Uint8Array): readonly StoredForward[] {
  try {
    const { forwards } = StoredList.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    if (new Set(forwards.map(({ forwardId }) => forwardId)).size !== forwards.length)
      throw new Error('an id occurs twice')
    return forwards
  } catch (error) {
    throw forwardsErrors.NZ_FORWARD_DAMAGED({ cause: error, data: { file: FILE_NAME } })
  }
}
