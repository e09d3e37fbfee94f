/** Frames of an endpoint over a stream: what comes is read one frame at a time, what goes keeps its order. */
import { MAX_PURPOSE_BYTES } from '../../protocols/handshake/limits.ts'
import { FrameReader } from '../../protocols/wire/frame-reader.ts'
import { wireErrors } from './service.ts'
import type { PeerStream } from '../network/service.ts'

/** What of a stream a channel uses. */
export type CarrierStream = Pick<PeerStream, 'peerId' | 'signal' | 'read' | 'write' | 'closeWrite' | 'close' | 'reset'>

export class StreamCarrier {
  readonly stream: CarrierStream
  readonly #reader = new FrameReader()

  constructor(stream: CarrierStream) {
    this.stream = stream
  }

  /** What an initiator writes first: the purpose, with its length (NZ-CHANNEL-01 §7). */
  async writePurpose(purpose: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const bytes = Buffer.from(purpose, 'ascii')
    await this.stream.write(Buffer.concat([Uint8Array.of(bytes.byteLength), bytes]), { signal })
  }

  /** `null` when the stream ends before, or begins with something else. */
  async readPurpose({ signal }: { readonly signal: AbortSignal }): Promise<string | null> {
    let held = new Uint8Array(0)
    for (;;) {
      const length = held[0]
      if (length !== undefined && (length === 0 || length > MAX_PURPOSE_BYTES)) return null
      if (length !== undefined && held.byteLength > length) {
        this.#reader.push(held.subarray(1 + length))
        return Buffer.from(held.subarray(1, 1 + length)).toString('latin1')
      }
      const chunk = await this.stream.read({ signal })
      if (chunk === null) return null
      held = new Uint8Array(Buffer.concat([held, chunk]))
    }
  }

  /** The next frame; `null` at the end. @throws NZ_WIRE_…, NZ_NETWORK_STREAM_RESET */
  async readFrame({ signal }: { readonly signal: AbortSignal }): Promise<Uint8Array | null> {
    for (;;) {
      const frame = this.#reader.next()
      if (typeof frame === 'string') throw wireErrors[frame]()
      if (frame !== null) return frame
      const chunk = await this.stream.read({ signal })
      if (chunk === null) return null
      this.#reader.push(chunk)
    }
  }

  async write(frames: readonly Uint8Array[], { signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (const frame of frames) await this.stream.write(frame, { signal })
  }
}
