/**
 * Handlers of the group `events`. What waits for a slow reader is the bus's bounded history, shared by all readers:
 * one who falls behind it is told of a gap.
 */
import type { EventBus, KernelService } from '../../../kernel/index.ts'
import type { eventsContract } from '../../../protocols/ipc/contract/events.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'

type Item = ResultOf<(typeof eventsContract)['eventsFollow']>

export function eventsHandlers({
  events,
  kernel,
}: {
  readonly events: EventBus
  readonly kernel: KernelService
}): Handlers<typeof eventsContract> {
  return {
    eventsFollow: (params, { signal }) => follow(events, bootIdOf(kernel), params, signal),
  }
}

/** Ids of events count from 1 in every run of the node; the run is named by when it began. */
function bootIdOf({ startedAtMs }: KernelService): string {
  return Math.floor(startedAtMs).toString(36)
}

async function* follow(
  events: EventBus,
  bootId: string,
  { names, after, isFollowing }: { names?: string[] | undefined; after?: string | undefined; isFollowing: boolean },
  signal: AbortSignal,
): AsyncGenerator<Item> {
  const cursorAt = (id: number): string => `${bootId}-${id}`
  const [boot, place] = after?.split('-') ?? []
  const isForeign = boot !== undefined && boot !== bootId
  if (isForeign) yield { kind: 'gap', cursor: cursorAt(0), reason: 'restart', missed: null }
  const timeline = events.timeline({
    signal,
    endsNow: !isFollowing,
    ...(names === undefined ? {} : { names }),
    ...(after === undefined ? {} : { afterId: isForeign ? 0 : Number(place) }),
  })
  for await (const item of timeline) {
    if ('missed' in item) {
      yield { kind: 'gap', cursor: cursorAt(item.untilId), reason: 'history', missed: item.missed }
    } else {
      const { id, atMs, name, payload } = item
      yield { kind: 'event', cursor: cursorAt(id), id, atMs, name, payload }
    }
  }
}
