/** The configuration of the discovery module. */
import { z } from 'zod'
import { LAN_PORT } from '../../protocols/discovery/lan.ts'
import { publicKeyOfPeerId } from '../../protocols/identity/id.ts'

const milliseconds = (fallback: number, min: number, description: string) =>
  z.int().min(min).max(86_400_000).default(fallback).describe(description).meta({ unit: 'ms' })

const lan = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'whether nodes of the same LAN find this node, and it them, by multicast DNS; the LAN learns that it is there',
      ),
    port: z.int().min(1).max(65_535).default(LAN_PORT).describe('UDP port of multicast DNS'),
    address: z.ipv4().optional().describe('address of the network interface to use; default: the system chooses'),
    intervalMs: milliseconds(60_000, 1_000, 'between two questions'),
  })
  .prefault({})

export const discoveryConfig = z.strictObject({
  mode: z
    .enum(['server', 'client', 'off'])
    .default('server')
    .describe(
      'server: this node asks others and answers them; client: it only asks, and nobody finds it; off: peers are reached at known addresses alone',
    ),
  bootstrap: z
    .array(z.string().min(1).max(512).refine(isPeerAddress, 'not an address that ends in /p2p/<peer id>'))
    .max(64)
    .default([])
    .describe('addresses of nodes to join the others by, besides the contacts, each with /p2p/<peer id> at its end'),
  queryTimeoutMs: milliseconds(4_000, 10, 'for one node that is asked, connecting included'),
  lookupTimeoutMs: milliseconds(15_000, 10, 'for one lookup'),
  intervalMs: milliseconds(60_000, 100, 'between two rounds of looking after the table'),
  idleMs: milliseconds(
    300_000,
    100,
    'a node that was not heard of for this long is asked if it is there; one that has been there for long, after up to eight times as long',
  ),
  serviceTtlMs: milliseconds(
    300_000,
    3_000,
    'how long an announced service is found after its node has died; it is renewed after a third',
  ),
  lan,
  maxConnections: z.int().min(4).max(512).default(48).describe('connections kept open for lookups alone'),
  connectionIdleMs: milliseconds(
    600_000,
    100,
    'a connection opened for lookups that was not used for this long is ended',
  ),
  maxRecords: z.int().min(64).max(16_384).default(16_384).describe('records kept for others'),
})

export type DiscoveryConfig = z.output<typeof discoveryConfig>

function isPeerAddress(text: string): boolean {
  const peerId = /^\/.+\/p2p\/([1-9A-HJ-NP-Za-km-z]+)$/.exec(text)?.[1]
  return peerId !== undefined && publicKeyOfPeerId(peerId) !== null
}
