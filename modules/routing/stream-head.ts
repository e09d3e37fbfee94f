/** How a stream over a route begins: the opener names the protocol, the other side says whether it serves it. */
import { networkErrors } from '../network/service.ts'
import type { NzError } from '../../kernel/index.ts'
import type { PeerStream } from '../network/service.ts'

export const MAX_PROTOCOL_BYTES = 128

/** First byte of the answer. */
export const headAnswers = { served: 0, unknown: 1, refused: 2 } as const
export type HeadAnswer = keyof typeof headAnswers

export function encodeHead(protocol: string): Uint8Array {
  const name = Buffer.from(protocol, 'utf8')
  if (name.length === 0 || name.length > MAX_PROTOCOL_BYTES) throw new TypeError('not the name of a protocol')
  return Buffer.concat([Uint8Array.of(name.length), name])
}

/** The protocol that the opener names, and what it sent with it; `null` for what is no head. */
export async function readHead(
  stream: PeerStream,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly protocol: string; readonly rest: Uint8Array } | null> {
  let head: Uint8Array = new Uint8Array(0)
  for (;;) {
    const length = head[0] ?? 0
    if (head.length > 0 && (length === 0 || length > MAX_PROTOCOL_BYTES)) return null
    if (head.length > length && head.length > 0) {
      const protocol = Buffer.from(head.subarray(1, 1 + length)).toString('utf8')
      return { protocol, rest: head.subarray(1 + length) }
    }
    const bytes = await stream.read({ signal })
    if (bytes === null) return null
    head = Buffer.concat([head, bytes])
  }
}

/** Resolves when the other side serves the stream; what it has sent behind its answer is not lost. */
export async function readAnswerOf(
  stream: PeerStream,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly error: NzError | null; readonly rest: Uint8Array }> {
  const data = { peerId: stream.peerId, protocol: stream.protocol }
  const bytes = await stream.read({ signal })
  if (bytes === null) return { error: networkErrors.NZ_NETWORK_STREAM_RESET({ data }), rest: new Uint8Array(0) }
  const rest = bytes.subarray(1)
  if (bytes[0] === headAnswers.served) return { error: null, rest }
  const isUnknown = bytes[0] === headAnswers.unknown
  const error = isUnknown
    ? networkErrors.NZ_NETWORK_PROTOCOL_UNKNOWN({ data })
    : networkErrors.NZ_NETWORK_STREAM_RESET({ data })
  return { error, rest }
}
