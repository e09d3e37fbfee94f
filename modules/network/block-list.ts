/** Peers and addresses that are refused: peer ids, IP addresses, networks. Kept in a small state file. */
import { BlockList as IpBlockList, isIP, isIPv6 } from 'node:net'
import { z } from 'zod'
import { plainIp } from './address.ts'
import { networkErrors } from './service.ts'
import type { HomeService } from '../home/service.ts'

const FILE = 'network-blocklist.json'
export const MAX_BLOCKED = 10_000

const fileSchema = z.strictObject({
  version: z.literal(1),
  blocked: z.array(z.string().min(1).max(128)).max(MAX_BLOCKED),
})

export class BlockList {
  readonly #home: Pick<HomeService, 'read' | 'write'>
  #subjects = new Set<string>()
  #ips = new IpBlockList()

  constructor(home: Pick<HomeService, 'read' | 'write'>) {
    this.#home = home
  }

  /** @throws NZ_NETWORK_BLOCKLIST_DAMAGED: a node that forgot whom it blocks would be worse than one that stands */
  async load(): Promise<void> {
    const bytes = await this.#home.read(FILE)
    if (bytes === null) return
    try {
      const { blocked } = fileSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
      this.#subjects = new Set(blocked.map(subjectOf))
    } catch (cause) {
      throw networkErrors.NZ_NETWORK_BLOCKLIST_DAMAGED({ cause, data: { file: FILE } })
    }
    this.#rebuild()
  }

  subjects(): readonly string[] {
    return [...this.#subjects].toSorted()
  }

  hasPeer(peerId: string): boolean {
    return this.#subjects.has(peerId)
  }

  hasIp(address: string): boolean {
    const ip = plainIp(address)
    return isIP(ip) !== 0 && this.#ips.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4')
  }

  /** In force at once, durable when it resolves. @throws NZ_NETWORK_ADDRESS_INVALID, NZ_NETWORK_LIMITED */
  async add(subject: string): Promise<void> {
    if (this.#subjects.size >= MAX_BLOCKED) throw networkErrors.NZ_NETWORK_LIMITED({ why: 'the block list is full' })
    this.#subjects.add(subjectOf(subject))
    this.#rebuild()
    await this.#save()
  }

  /** @throws NZ_NETWORK_NOT_BLOCKED */
  async remove(subject: string): Promise<void> {
    if (!this.#subjects.delete(subjectOf(subject))) throw networkErrors.NZ_NETWORK_NOT_BLOCKED({ data: { subject } })
    this.#rebuild()
    await this.#save()
  }

  #rebuild(): void {
    this.#ips = new IpBlockList()
    for (const subject of this.#subjects) {
      const [ip = '', prefix] = subject.split('/')
      if (isIP(ip) === 0) continue
      const family = isIPv6(ip) ? 'ipv6' : 'ipv4'
      if (prefix === undefined) this.#ips.addAddress(ip, family)
      else this.#ips.addSubnet(ip, Number(prefix), family)
    }
  }

  async #save(): Promise<void> {
    const text = `${JSON.stringify({ version: 1, blocked: this.subjects() }, null, 2)}\n`
    await this.#home.write(FILE, new TextEncoder().encode(text))
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
