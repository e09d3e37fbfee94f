/** Every scenario by its name. Small, so that one can be read at a glance; what they share is in scenario.ts. */
import { ChannelPart } from './channel/channel-part.ts'
import { RoutingPart } from './routing/routing-part.ts'
import { TrustPart } from './trust/trust-part.ts'
import type { Faults } from './faults.ts'
import type { Scenario } from './scenario.ts'

const nothing: Faults = {
  conditions: { loss: 0, duplicate: 0, reorder: 0, delayMs: [5, 50] },
  partitions: 0,
  partitionMs: [0, 0],
  oneWayLinks: 0,
  oneWayMs: [0, 0],
  crashes: 0,
  downMs: [0, 0],
  maxSkewMs: 0,
  clockJumps: 0,
  diskErrorShare: 0,
}

const bad: Faults = {
  conditions: { loss: 0.05, duplicate: 0.05, reorder: 0.1, delayMs: [5, 150] },
  partitions: 3,
  partitionMs: [4_000, 15_000],
  oneWayLinks: 12,
  oneWayMs: [2_000, 15_000],
  crashes: 10,
  downMs: [500, 15_000],
  maxSkewMs: 3_600_000,
  clockJumps: 5,
  diskErrorShare: 0.02,
}

/** `bad`, within a shorter time. */
const badAndShort: Faults = { ...bad, partitions: 2, partitionMs: [3_000, 8_000], crashes: 6, downMs: [500, 8_000] }

/** Enough for liars of every kind, long ways, and several of them between two nodes. */
const fiftyNodes = { nodes: 50, minNodes: 8, chords: 2, troubleMs: 30_000 }

export const scenarios: readonly Scenario[] = [
  {
    name: 'partition',
    summary: 'trust: 20 honest nodes fall in two, go on stating, and come together again',
    nodes: 20,
    minNodes: 4,
    liarShare: 0,
    chords: 2,
    faults: { ...nothing, partitions: 1, partitionMs: [30_000, 30_000] },
    troubleMs: 30_000,
    createParts: (world, { trust }) => [new TrustPart(world, { statementsPerNode: 2, revocations: 0.2 }, trust)],
  },
  {
    name: 'fifty',
    summary:
      'trust and routes: 50 nodes, 10 of them liars; partitions, one-way links, loss, crashes, wrong clocks, failing disks',
    ...fiftyNodes,
    liarShare: 0.2,
    faults: bad,
    createParts: (world, { trust, routing }) => [
      new TrustPart(world, { statementsPerNode: 1.5, revocations: 0.2 }, trust),
      new RoutingPart(world, { pathsPerNode: 1 }, routing),
    ],
  },
  {
    name: 'routes',
    summary: 'routing: 50 nodes, 5 of them trusted and forging, while everything goes wrong; no loop at any instant',
    ...fiftyNodes,
    liarShare: 0.1,
    faults: badAndShort,
    troubleMs: 15_000,
    createParts: (world, { routing }) => [new RoutingPart(world, { pathsPerNode: 1, liars: 'forge' }, routing)],
  },
  {
    name: 'channels',
    summary: 'channels: 12 nodes, 4 of them pass frames on and replay them; keys change all the time',
    nodes: 12,
    minNodes: 6,
    liarShare: 0.34,
    chords: 2,
    faults: {
      ...badAndShort,
      partitionMs: [1_000, 3_000],
      oneWayLinks: 4,
      oneWayMs: [1_000, 3_000],
      crashes: 2,
      downMs: [500, 4_000],
    },
    troubleMs: 10_000,
    createParts: (world) => [new ChannelPart(world)],
  },
]
