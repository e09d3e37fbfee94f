/** A connection of the in-memory mesh (network.ts), as one of its two ends sees it. */
import type { Peer, PeerStream, StreamHandler } from '../../modules/network/service.ts'

export interface Link {
  readonly direction: 'inbound' | 'outbound'
  readonly openedAtMs: number
  readonly address: string
  readonly streams: Set<PeerStream>
  readonly broken: AbortController
}

export function pathOf({ address, direction, openedAtMs, streams }: Link): Peer['paths'][number] {
  return {
    address,
    transport: 'tcp',
    via: null,
    direction,
    backend: 'typescript',
    openedAtMs,
    streams: streams.size,
    txBytes: 0,
    rxBytes: 0,
    muxer: null,
    limit: null,
  }
}

export function own(link: Link, stream: PeerStream): void {
  link.streams.add(stream)
  stream.signal.addEventListener('abort', () => link.streams.delete(stream), { once: true })
}

export async function serve(stream: PeerStream, handler: StreamHandler, signal: AbortSignal): Promise<void> {
  try {
    await handler(stream, { signal })
    await stream.close()
  } catch {
    stream.reset()
  }
}
