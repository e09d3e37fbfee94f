/** Names of nodes, asked of the resolvers of the configuration. */
import { findNodes } from './node-names.ts'
import { DnsResolver } from './resolver.ts'
import type { Clock, Random } from '../../../kernel/index.ts'
import type { FoundNodes } from './node-names.ts'
import type { DnsResolverOptions } from './resolver.ts'

export class NodeNames {
  readonly #resolver: DnsResolver

  constructor(services: { readonly clock: Clock; readonly random: Random }, options: DnsResolverOptions) {
    this.#resolver = new DnsResolver(services, options)
  }

  /** The nodes at `name`, of one peer or of all. @throws NZ_DNS_NAME_INVALID, NZ_DNS_NO_NODE, NZ_DNS_FAILED */
  async find(name: string, peerId: string | null, signal: AbortSignal): Promise<FoundNodes> {
    const ask: Parameters<typeof findNodes>[2]['ask'] = async (...args) => await this.#resolver.resolve(...args)
    return await findNodes(name, peerId, { ask, signal })
  }
}
