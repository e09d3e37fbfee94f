/** Server-sent events: one item an event, at the reader's pace. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { STREAM_HEARTBEAT_MS } from '../../protocols/ipc/limits.ts'
import { problemOf, publicError } from '../../protocols/ipc/problem.ts'
import { codedReason } from './open-streams.ts'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { Endpoint } from '../../protocols/ipc/endpoint.ts'

export interface EventStreamInit {
  readonly endpoint: Endpoint
  readonly items: AsyncIterable<unknown>
  readonly clock: Clock
  /** Aborts when the reader is gone, or with an `NzError` that the reader is told. */
  readonly signal: AbortSignal
}

/**
 * Takes the next item only when the last one left for the reader: what a slow reader costs is the response's buffer
 * (STREAM_BUFFER_BYTES) and what the source itself holds. A failure of the source is told as `event: error`.
 */
export async function sendEvents(response: ServerResponse, init: EventStreamInit): Promise<void> {
  const { endpoint, items, clock, signal } = init
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  const heartbeat = beat(response, clock)
  try {
    for await (const item of items) {
      if (signal.aborted) break
      await send(response, eventText(endpoint, item), signal)
    }
    const cut = codedReason(signal)
    if (cut !== null) throw cut
    if (!signal.aborted) await send(response, 'event: end\ndata: {}\n\n', signal)
  } catch (error) {
    if (!response.destroyed) response.write(`event: error\ndata: ${JSON.stringify(problemOf(publicError(error)))}\n\n`)
  } finally {
    heartbeat.cancel()
    response.end()
  }
}

function eventText({ resume }: Endpoint, item: unknown): string {
  const id = resume === undefined ? '' : `id: ${String((item as Record<string, unknown>)[resume.cursor])}\n`
  return `${id}data: ${JSON.stringify(item)}\n\n`
}

async function send(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (response.write(text) || signal.aborted) return
  try {
    await once(response, 'drain', { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function beat(response: ServerResponse, clock: Clock): Timer {
  let timer: Timer
  const next = (): void => {
    timer = clock.setTimer(
      STREAM_HEARTBEAT_MS,
      () => {
        if (!response.writableNeedDrain) response.write(':\n\n')
        next()
      },
      { unref: true },
    )
  }
  next()
  return { cancel: () => timer.cancel() }
}
