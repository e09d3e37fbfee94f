/** Introductions: made for two contacts, pending until the people on both sides have accepted (NZ-DISCOVERY-01 §10). */
import { z } from 'zod'
import { deadline, isNzError } from '../../kernel/index.ts'
import { peerIdOf, publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import {
  ACCEPT_METHOD,
  createIntroduction,
  OFFER_METHOD,
  readIntroduction,
} from '../../protocols/discovery/introduction.ts'
import { MAX_ADDRESSES } from '../../protocols/discovery/limits.ts'
import { Address } from '../../protocols/discovery/record.ts'
import { introductionErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Introduction, IntroducedPeer } from '../../protocols/discovery/introduction.ts'
import type { Contact, ContactsService } from '../contacts/service.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NetworkService } from '../network/service.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { IntroductionsService, IntroductionView } from './service.ts'

/** Introductions that wait here, and those of one introducer. */
export const MAX_WAITING = 32
export const MAX_WAITING_PER_INTRODUCER = 8
const TTL_S = 604_800
const TELL_TIMEOUT_MS = 15_000

const Kept = z.strictObject({
  bytes: z.string().max(8_192),
  /** What the person here, and the one there, have said. */
  isAccepted: z.boolean(),
  isAcceptedThere: z.boolean(),
})
type Kept = z.output<typeof Kept>

export interface IntroductionsServices {
  readonly network: Pick<NetworkService, 'request' | 'handleRequests' | 'connect' | 'addresses'>
  readonly contacts: ContactsService
  readonly identity: Pick<IdentityService, 'self' | 'signAsNode' | 'verify'>
  readonly trust: Pick<TrustService, 'may'>
  readonly storage: StorageService
  readonly clock: Clock
  readonly onOffered: (view: IntroductionView) => void
}

/** Bytes of an answer: whether the answerer has accepted, too. */
const NOT_YET = Uint8Array.of(0)
const ACCEPTED = Uint8Array.of(1)

export class Introductions implements IntroductionsService {
  readonly #services: IntroductionsServices
  readonly #kept: StoredMap<Kept>
  readonly #own: string

  constructor(services: IntroductionsServices) {
    this.#services = services
    this.#kept = services.storage.map('discovery/introductions', { schema: Kept })
    this.#own = Buffer.from(services.identity.self.nodePublicKey).toString('hex')
  }

  async start({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { network } = this.#services
    await this.#kept.load()
    network.handleRequests(OFFER_METHOD, async (bytes, { peerId }) => await this.#offered(bytes, peerId), { signal })
    network.handleRequests(ACCEPT_METHOD, async (bytes, { peerId }) => await this.#acceptedThere(bytes, peerId), {
      signal,
    })
  }

  async make(first: string, second: string, { signal }: { readonly signal: AbortSignal }): Promise<string> {
    const { contacts, identity, network, clock } = this.#services
    const [one, other] = [contacts.resolve(first), contacts.resolve(second)]
    if (one.peerId === other.peerId) throw introductionErrors.NZ_INTRODUCTION_SAME()
    const introduction = createIntroduction(
      { introducer: this.#own, peers: [introduced(one), introduced(other)], issuedMs: clock.nowMs(), ttlS: TTL_S },
      (purpose, message) => identity.signAsNode(purpose, message),
    )
    using limit = deadline(clock, TELL_TIMEOUT_MS, { signal })
    for (const { peerId } of [one, other])
      await network.request(peerId, OFFER_METHOD, introduction.bytes, { signal: limit.signal })
    return introduction.id
  }

  list(): readonly IntroductionView[] {
    return this.#current().map(([introduction, kept]) => this.#view(introduction, kept))
  }

  async accept(id: string, { signal }: { readonly signal: AbortSignal }): Promise<IntroductionView> {
    const { network, clock } = this.#services
    const [introduction, kept] = this.#find(id)
    await this.#keep(introduction, { ...kept, isAccepted: true })
    const other = this.#other(introduction)
    const peerId = peerIdOf(Buffer.from(other.key, 'hex'))
    using limit = deadline(clock, TELL_TIMEOUT_MS, { signal })
    let isAcceptedThere = kept.isAcceptedThere
    try {
      await network.connect(peerId, { addresses: other.addresses, signal: limit.signal })
      const answer = await network.request(peerId, ACCEPT_METHOD, introduction.bytes, { signal: limit.signal })
      isAcceptedThere = answer[0] === 1
    } catch (error) {
      // The one who accepts last reaches the other, or tries again.
      signal.throwIfAborted()
      if (!isNzError(error) && !limit.isOver) throw error
    }
    if (isAcceptedThere) await this.#join(introduction)
    return this.#view(introduction, { ...kept, isAccepted: true, isAcceptedThere })
  }

  async decline(id: string): Promise<void> {
    const [introduction] = this.#find(id)
    await this.#forget(introduction.id)
  }

  async #offered(bytes: Uint8Array, peerId: string): Promise<Uint8Array> {
    const introduction = this.#read(bytes)
    if (peerIdOf(Buffer.from(introduction.introducer, 'hex')) !== peerId)
      throw introductionErrors.NZ_INTRODUCTION_INVALID()
    await this.#take(introduction, false)
    return NOT_YET
  }

  /** Also the first that this node hears of it: the introducer has signed it. */
  async #acceptedThere(bytes: Uint8Array, peerId: string): Promise<Uint8Array> {
    const introduction = this.#read(bytes)
    if (peerIdOf(Buffer.from(this.#other(introduction).key, 'hex')) !== peerId)
      throw introductionErrors.NZ_INTRODUCTION_INVALID()
    if (this.#services.contacts.get(peerId) !== undefined) return ACCEPTED
    const kept = this.#kept.values.get(introduction.id)
    if (kept?.isAccepted === true) {
      await this.#join(introduction)
      return ACCEPTED
    }
    await this.#take(introduction, true)
    return NOT_YET
  }

  /** @throws NZ_INTRODUCTION_INVALID, NZ_INTRODUCTION_REFUSED */
  #read(bytes: Uint8Array): Introduction {
    const { identity, clock, contacts, trust } = this.#services
    const verify = (...args: Parameters<IdentityService['verify']>): boolean => identity.verify(...args)
    const introduction = readIntroduction(bytes.slice(), { verify, nowMs: clock.nowMs() })
    if (introduction === null || !introduction.peers.some(({ key }) => key === this.#own))
      throw introductionErrors.NZ_INTRODUCTION_INVALID()
    const introducer = peerIdOf(Buffer.from(introduction.introducer, 'hex'))
    if (contacts.get(introducer) === undefined || !trust.may(introducer, 'send'))
      throw introductionErrors.NZ_INTRODUCTION_REFUSED()
    return introduction
  }

  /** @throws NZ_INTRODUCTION_FULL */
  async #take(introduction: Introduction, isAcceptedThere: boolean): Promise<void> {
    const { contacts, onOffered } = this.#services
    const other = this.#other(introduction)
    if (contacts.get(peerIdOf(Buffer.from(other.key, 'hex'))) !== undefined) return
    const known = this.#kept.values.get(introduction.id)
    const current = this.#current()
    const ofIntroducer = current.filter(([{ introducer }]) => introducer === introduction.introducer)
    if (known === undefined && (current.length >= MAX_WAITING || ofIntroducer.length >= MAX_WAITING_PER_INTRODUCER))
      throw introductionErrors.NZ_INTRODUCTION_FULL()
    const kept = {
      bytes: Buffer.from(introduction.bytes).toString('base64'),
      isAccepted: known?.isAccepted ?? false,
      isAcceptedThere: isAcceptedThere || known?.isAcceptedThere === true,
    }
    await this.#keep(introduction, kept)
    if (known === undefined) onOffered(this.#view(introduction, kept))
  }

  async #join(introduction: Introduction): Promise<void> {
    const { contacts } = this.#services
    const { key, name, addresses } = this.#other(introduction)
    await contacts.add({ peerId: peerIdOf(Buffer.from(key, 'hex')), name, addresses })
    await this.#forget(introduction.id)
  }

  /** What is over leaves with the next change. */
  async #keep(introduction: Introduction, kept: Kept): Promise<void> {
    const current = new Set(this.#current().map(([{ id }]) => id))
    await this.#kept.change((values) => ({
      put: [[introduction.id, kept]],
      remove: [...values.keys()].filter((id) => id !== introduction.id && !current.has(id)),
      result: undefined,
    }))
  }

  async #forget(id: string): Promise<void> {
    await this.#kept.change(() => ({ remove: [id], result: undefined }))
  }

  #current(): ReadonlyArray<readonly [Introduction, Kept]> {
    const { clock } = this.#services
    return [...this.#kept.values.values()].flatMap((kept) => {
      // Verified before it was kept, where nobody else writes.
      const options = { verify: () => true, nowMs: clock.nowMs() }
      const introduction = readIntroduction(new Uint8Array(Buffer.from(kept.bytes, 'base64')), options)
      return introduction === null ? [] : [[introduction, kept] as const]
    })
  }

  #find(id: string): readonly [Introduction, Kept] {
    const found = this.#current().find(([introduction]) => introduction.id === id)
    if (found === undefined) throw introductionErrors.NZ_INTRODUCTION_UNKNOWN({ data: { id: id.slice(0, 32) } })
    return found
  }

  #other({ peers: [one, other] }: Introduction): IntroducedPeer {
    return one.key === this.#own ? other : one
  }

  #view(introduction: Introduction, { isAccepted, isAcceptedThere }: Kept): IntroductionView {
    const { key, name } = this.#other(introduction)
    return {
      id: introduction.id,
      introducer: peerIdOf(Buffer.from(introduction.introducer, 'hex')),
      peerId: peerIdOf(Buffer.from(key, 'hex')),
      name,
      state: isAccepted ? (isAcceptedThere ? 'joined' : 'accepted') : 'pending',
      isAcceptedThere,
      expiresAtMs: introduction.issuedMs + introduction.ttlS * 1_000,
    }
  }
}

function introduced({ peerId, name, addresses }: Contact): IntroducedPeer {
  const key = publicKeyOfPeerId(peerId)
  if (key === null) throw new TypeError('a contact has an Ed25519 peer id')
  return {
    key: Buffer.from(key).toString('hex'),
    name,
    addresses: addresses
      .map((address) => address.replace(/\/p2p\/[^/]+$/, ''))
      .filter((address) => Address.safeParse(address).success)
      .slice(0, MAX_ADDRESSES),
  }
}
