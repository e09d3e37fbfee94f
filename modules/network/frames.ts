/** Whole frames over a `PeerStream`, many at a time (protocols/framing/frame-batches.ts), whatever moves its bytes. */
import { encodeFrames, FrameCutter, FrameTooLargeError } from '../../protocols/framing/frame-batches.ts'
import { networkErrors } from './service.ts'
import type { PeerStream } from './service.ts'

/** Frames, the receiver's for the time of the call. A promise makes the peer wait. */
export type UseFrames = (frames: readonly Uint8Array[]) => Promise<void> | void

/** Sends `frames` together; resolves when there is room for more. @throws NZ_NETWORK_STREAM_RESET */
export async function sendMany(
  stream: PeerStream,
  frames: readonly Uint8Array[],
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  if (frames.length > 0) await stream.write(encodeFrames(frames), signal === undefined ? {} : { signal })
}

/**
 * Gives `use` what has come in whole frames, all that is there in one call, until the peer has closed its side.
 *
 * @throws NZ_NETWORK_STREAM_RESET, also when a frame is larger than `maxFrameBytes` or cut short, and what `use` throws
 */
export async function receiveMany(
  stream: PeerStream,
  use: UseFrames,
  { maxFrameBytes, signal }: { readonly maxFrameBytes: number; readonly signal?: AbortSignal },
): Promise<void> {
  const cutter = new FrameCutter({ maxFrameBytes })
  const failed = (why: string, cause?: unknown): Error =>
    networkErrors.NZ_NETWORK_STREAM_RESET({ why, cause, data: { peerId: stream.peerId } })
  const takeBytes = (bytes: Uint8Array): Promise<void> | void => {
    try {
      const frames = cutter.push(bytes)
      if (frames.length > 0) return use(frames)
    } catch (error) {
      if (error instanceof FrameTooLargeError) throw failed('a frame is too large', error)
      throw error
    }
  }
  await stream.consume(takeBytes, signal === undefined ? {} : { signal })
  if (!cutter.isAtBoundary) throw failed('the stream ended inside a frame')
}
