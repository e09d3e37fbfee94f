/** One short frame over a peer stream, with a deadline. */
import { deadline } from '../../kernel/index.ts'
import { MAX_FORWARD_HEADER_BYTES } from '../../protocols/forward/header.ts'
import { ShortFrames } from '../../protocols/framing/short-frames.ts'
import type { Clock } from '../../kernel/index.ts'
import type { PeerStream } from '../network/service.ts'
import { forwardsErrors } from './service.ts'

/** The first frame and the bytes that came after it. @throws NZ_FORWARD_PROTOCOL, NZ_NETWORK_STREAM_RESET */
export async function readFrame(
  stream: PeerStream,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<{ readonly body: Uint8Array; readonly rest: Uint8Array }> {
  const frames = new ShortFrames({ maxBytes: MAX_FORWARD_HEADER_BYTES })
  const reason = () => forwardsErrors.NZ_FORWARD_PROTOCOL({ why: 'the peer did not speak in time' })
  using limit = deadline(clock, timeoutMs, { signal, reason })
  for (;;) {
    const bytes = await stream.read({ signal: limit.signal })
    if (bytes === null) throw forwardsErrors.NZ_FORWARD_PROTOCOL({ why: 'the stream ended before its header' })
    frames.push(bytes)
    const next = frames.next()
    if (next.state === 'frame') return { body: next.body, rest: frames.rest() }
    if (next.state === 'tooLarge') throw forwardsErrors.NZ_FORWARD_PROTOCOL({ why: 'the header is too long' })
  }
}
