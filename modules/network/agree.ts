/** multistream-select on a libp2p stream, without a promise and an event for each line. */
import { orAbort } from '../../kernel/index.ts'
import { multistreamErrors } from '../../protocols/multistream/errors.ts'
import { Offer } from '../../protocols/multistream/negotiation.ts'
import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import type { Answer } from '../../protocols/multistream/negotiation.ts'

/**
 * What both sides agree on. Bytes behind it wait in the stream for its next reader.
 *
 * @throws NZ_MULTISTREAM_INVALID, NZ_MULTISTREAM_REFUSED; the signal's reason when it aborts
 */
export async function agree(
  stream: MessageStream,
  negotiation: Offer | Answer,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const onMessage = ({ data }: StreamMessageEvent): void => {
    try {
      const { reply, protocol, rest } = negotiation.push(data.subarray())
      if (reply.byteLength > 0) stream.send(reply)
      if (protocol === null) return
      stream.removeEventListener('message', onMessage)
      if (rest.byteLength > 0) stream.unshift(rest)
      resolve(protocol)
    } catch (error) {
      reject(error as Error)
    }
  }
  const onEnd = (): void => reject(multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'the connection ended' }))
  stream.addEventListener('message', onMessage)
  stream.addEventListener('close', onEnd)
  stream.addEventListener('remoteCloseWrite', onEnd)
  try {
    if (negotiation instanceof Offer) stream.send(negotiation.opening)
    return await orAbort(promise, signal)
  } finally {
    stream.removeEventListener('message', onMessage)
    stream.removeEventListener('close', onEnd)
    stream.removeEventListener('remoteCloseWrite', onEnd)
  }
}
