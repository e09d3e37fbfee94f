/** Peers and addresses that are refused: peer ids, IP addresses, networks. Kept in the store. */
import { BlockList as IpBlockList, isIP, isIPv6 } from 'node:net'
import { z } from 'zod'
import { plainIp } from './address.ts'
import { networkErrors } from './service.ts'
import type { Health } from '../../kernel/index.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'

const NAMESPACE = 'network/blocked'
const OLDER_FILE = 'network-blocklist.json'
export const MAX_BLOCKED = 10_000

/** Written per subject, which is the key. */
const Blocked = z.strictObject({})
const olderFile = z.strictObject({
  version: z.literal(1),
  blocked: z.array(z.string().min(1).max(128)).max(MAX_BLOCKED),
})

type PeerCheck = (peerId: string) => boolean

/** Nobody may come in or be dialled while it cannot be read: it would not be known who is refused. */
export class BlockList {
  readonly #stored: StoredMap<z.output<typeof Blocked>>
  #ips = new IpBlockList()
  readonly #checks = new Set<PeerCheck>()

  constructor(storage: Pick<StorageService, 'map'>) {
    this.#stored = storage.map(NAMESPACE, {
      schema: Blocked,
      older: { file: OLDER_FILE, records: (bytes) => parse(bytes).map((subject) => [subject, {}]) },
      onLoaded: () => this.#rebuild(),
    })
  }

  /** @throws NZ_NETWORK_BLOCKLIST_DAMAGED for the file of an older version: to forget whom one blocks would be worse */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  health(): Health {
    return this.#stored.health('who is blocked is unknown, so nobody is let in and nobody dialled until then')
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  requireReadable(): void {
    if (this.#stored.trouble !== null) throw this.#stored.trouble
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  subjects(): readonly string[] {
    return [...this.#stored.values.keys()].toSorted()
  }

  hasPeer(peerId: string): boolean {
    if (this.#stored.trouble !== null || this.#stored.values.has(peerId)) return true
    return [...this.#checks].some((isRefused) => isRefused(peerId))
  }

  /** Refuses also the peers that `isRefused` says, until `signal` aborts. */
  refuseWhen(isRefused: PeerCheck, { signal }: { readonly signal: AbortSignal }): void {
    this.#checks.add(isRefused)
    signal.addEventListener('abort', () => this.#checks.delete(isRefused), { once: true })
  }

  hasIp(address: string): boolean {
    if (this.#stored.trouble !== null) return true
    const ip = plainIp(address)
    return isIP(ip) !== 0 && this.#ips.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4')
  }

  /** In force at once, durable when it resolves. @throws NZ_NETWORK_ADDRESS_INVALID, NZ_NETWORK_LIMITED, NZ_STORAGE_READ_ONLY */
  async add(text: string): Promise<void> {
    const subject = subjectOf(text)
    const { size } = this.#stored.values
    if (size >= MAX_BLOCKED) throw networkErrors.NZ_NETWORK_LIMITED({ why: 'the block list is full' })
    const isDurable = this.#stored.force({ put: [[subject, {}]] })
    this.#rebuild()
    await isDurable
  }

  /** @throws NZ_NETWORK_NOT_BLOCKED, NZ_STORAGE_READ_ONLY */
  async remove(text: string): Promise<void> {
    const subject = subjectOf(text)
    if (!this.#stored.values.has(subject)) throw networkErrors.NZ_NETWORK_NOT_BLOCKED({ data: { subject: text } })
    const isDurable = this.#stored.force({ remove: [subject] })
    this.#rebuild()
    await isDurable
  }

  #rebuild(): void {
    this.#ips = new IpBlockList()
    for (const subject of this.#stored.values.keys()) {
      const [ip = '', prefix] = subject.split('/')
      if (isIP(ip) === 0) continue
      const family = isIPv6(ip) ? 'ipv6' : 'ipv4'
      if (prefix === undefined) this.#ips.addAddress(ip, family)
      else this.#ips.addSubnet(ip, Number(prefix), family)
    }
  }
}

/** The block list of version 0.1.0. */
function parse(bytes: Uint8Array): readonly string[] {
  try {
    const { blocked } = olderFile.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    return blocked.map(subjectOf)
  } catch (cause) {
    throw networkErrors.NZ_NETWORK_BLOCKLIST_DAMAGED({ cause, data: { file: OLDER_FILE } })
  }
}

/** A peer id, an IP address or `address/prefix`, in one spelling. @throws NZ_NETWORK_ADDRESS_INVALID */
function subjectOf(text: string): string {
  const [ip = '', prefix, ...rest] = text.trim().split('/')
  const plain = plainIp(ip)
  const maxPrefix = isIPv6(plain) ? 128 : 32
  if (isIP(plain) !== 0 && rest.length === 0) {
    if (prefix === undefined) return plain
    if (/^\d{1,3}$/.test(prefix) && Number(prefix) <= maxPrefix) return `${plain}/${Number(prefix)}`
  }
  if (prefix === undefined && /^[1-9A-HJ-NP-Za-km-z]{32,64}$/.test(ip)) return ip
  throw networkErrors.NZ_NETWORK_ADDRESS_INVALID({
    why: 'not a peer id, an IP address or a network such as 192.0.2.0/24',
    data: { subject: text.slice(0, 128) },
  })
}
