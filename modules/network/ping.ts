/** libp2p's ping protocol: 32 bytes there and back. */
import { timingSafeEqual } from 'node:crypto'
import { networkErrors } from './service.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { PeerStream } from './service.ts'

export const PING_PROTOCOL = '/ipfs/ping/1.0.0'
const PING_BYTES = 32

/** Round trip of one ping over `stream` in milliseconds. @throws NZ_NETWORK_STREAM_RESET */
export async function pingOver(
  stream: PeerStream,
  { clock, random, signal }: { readonly clock: Clock; readonly random: Random; readonly signal: AbortSignal },
): Promise<number> {
  const sent = random.bytes(PING_BYTES)
  const startedMs = clock.monotonicMs()
  await stream.write(sent, { signal })
  const received: number[] = []
  while (received.length < PING_BYTES) {
    const chunk = await stream.read({ signal })
    if (chunk === null || received.length + chunk.byteLength > PING_BYTES) break
    received.push(...chunk)
  }
  const rttMs = clock.monotonicMs() - startedMs
  if (received.length !== PING_BYTES || !timingSafeEqual(sent, Uint8Array.from(received)))
    throw networkErrors.NZ_NETWORK_STREAM_RESET({ why: 'the ping came back changed', data: { peerId: stream.peerId } })
  return rttMs
}

/** Sends back what comes, never more than the peer reads: an echo without back-pressure is a memory hole. */
export async function answerPings(stream: PeerStream, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  for (let chunk = await stream.read({ signal }); chunk !== null; chunk = await stream.read({ signal }))
    await stream.write(chunk, { signal })
}
