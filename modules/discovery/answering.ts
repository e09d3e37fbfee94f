/** Answers `discovery.find` and `discovery.store` of other nodes (NZ-DISCOVERY-01 §5). */
import { placeOf } from '../../protocols/discovery/distance.ts'
import { K } from '../../protocols/discovery/limits.ts'
import {
  decodeFind,
  decodeStore,
  encodeFound,
  encodeStored,
  FIND_METHOD,
  STORE_METHOD,
} from '../../protocols/discovery/messages.ts'
import { readRecord } from '../../protocols/discovery/record.ts'
import { rangeOfAddress } from './address-range.ts'
import { isReachedAt } from './query.ts'
import { discoveryErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { RecordCode } from '../../protocols/discovery/errors.ts'
import type { StoreItem } from '../../protocols/discovery/messages.ts'
import type { DiscoveryRecord, Verify } from '../../protocols/discovery/record.ts'
import type { NetworkService } from '../network/service.ts'
import type { Dht } from './dht.ts'
import type { RequestRate } from '../../protocols/rpc/request-rate.ts'

/** Requests of one peer in ten seconds: several lookups and its own records, renewed, together. */
export const MAX_REQUESTS = 512
/** Bytes of records in one answer. */
const MAX_ANSWER_BYTES = 65_536

export interface AnsweringServices {
  readonly dht: Dht
  readonly network: Pick<NetworkService, 'handleRequests' | 'peer' | 'isRefused'>
  readonly clock: Clock
  readonly rate: RequestRate
  readonly verify: Verify
  readonly ownRecord: () => DiscoveryRecord | null
}

/** Until `signal` aborts. */
export function answerRequests(services: AnsweringServices, { signal }: { readonly signal: AbortSignal }): void {
  const { network } = services
  network.handleRequests(FIND_METHOD, async (payload, { peerId }) => find(services, payload, peerId), { signal })
  network.handleRequests(STORE_METHOD, async (payload, { peerId }) => store(services, payload, peerId), { signal })
}

function find(services: AnsweringServices, payload: Uint8Array, peerId: string): Uint8Array {
  const { dht, network, ownRecord } = services
  requireRate(services, peerId)
  const request = decodeFind(payload)
  if (request === null) throw discoveryErrors.NZ_DISCOVERY_PROTOCOL()
  if (request.own !== null) meet(services, peerId, request.own)
  dht.askedBy(peerId)
  const closer = dht.table
    .closest(placeOf(request.target), K * 2, { forOthers: true })
    .filter((entry) => entry.peerId !== peerId && typeof dht.contacts.read(entry.record.bytes) !== 'string')
    // Whom this node itself would not let in, by trust or by its block list, it recommends to nobody.
    .filter((entry) => !network.isRefused(entry.peerId))
    .slice(0, K)
  dht.answered += 1
  return encodeFound({
    records: request.wantsRecords ? withinBytes(dht.held(request.target)) : [],
    closer: closer.map(({ record }) => record.bytes),
    own: request.wantsOwn ? (ownRecord()?.bytes ?? null) : null,
  })
}

/** The asker tells where it is: it enters the table when it signed that itself, and it may be told when it came from there. */
function meet({ dht, network }: AnsweringServices, peerId: string, bytes: Uint8Array): void {
  const contact = dht.contacts.readVerified(bytes)
  if (typeof contact === 'string') return dht.refuse(peerId, contact)
  if (contact.peerId !== peerId) return dht.refuse(peerId, 'NZ_DISCOVERY_FORGED')
  if (contact.addresses.length === 0) return
  dht.table.heard(contact, { isProven: isReachedAt(network, peerId, contact.addresses) })
}

function store(services: AnsweringServices, payload: Uint8Array, peerId: string): Uint8Array {
  requireRate(services, peerId)
  const items = decodeStore(payload)
  if (items === null) throw discoveryErrors.NZ_DISCOVERY_PROTOCOL()
  services.dht.askedBy(peerId)
  services.dht.answered += 1
  return encodeStored(items.map((item) => storeOne(services, item, peerId)))
}

function storeOne(
  { dht, network, clock, verify }: AnsweringServices,
  item: StoreItem,
  peerId: string,
): RecordCode | null {
  const nowMs = clock.nowMs()
  const record = readRecord(item.record.slice(), { verify, nowMs })
  const range = rangeOfAddress(network.peer(peerId)?.paths[0]?.address)
  const code = typeof record === 'string' ? record : dht.store.put(item.key, record, { peerId, range }, nowMs)
  if (code !== null) dht.refuse(peerId, code)
  return code
}

function requireRate({ rate, dht }: AnsweringServices, peerId: string): void {
  if (rate.take(peerId)) return
  dht.limited += 1
  throw discoveryErrors.NZ_DISCOVERY_BUSY()
}

function withinBytes(records: readonly DiscoveryRecord[]): Uint8Array[] {
  let left = MAX_ANSWER_BYTES
  return records.flatMap(({ bytes }) => {
    left -= bytes.byteLength
    return left < 0 ? [] : [bytes]
  })
}
