/** Opens streams on connections that are there. */
import { deadline } from '../../kernel/index.ts'
import { openError } from './open-error.ts'
import { networkErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { OpenPath, Paths } from './paths.ts'
import type { PeerStream } from './service.ts'

/** For the peer's word that it serves the protocol. */
const OPEN_STREAM_TIMEOUT_MS = 30_000

export interface StreamOpenerInit {
  readonly clock: Clock
  readonly paths: Paths
  readonly maxStreamsPerConnection: number
}

export class StreamOpener {
  readonly #init: StreamOpenerInit

  constructor(init: StreamOpenerInit) {
    this.#init = init
  }

  /** @throws NZ_NETWORK_PROTOCOL_UNKNOWN, NZ_NETWORK_LIMITED, NZ_NETWORK_TIMEOUT, NZ_NETWORK_STREAM_RESET */
  async openOn({ connection }: OpenPath, protocol: string, signal: AbortSignal): Promise<PeerStream> {
    const { clock, paths, maxStreamsPerConnection } = this.#init
    const peerId = connection.remotePeer.toString()
    using limit = deadline(clock, OPEN_STREAM_TIMEOUT_MS, {
      signal,
      reason: () => networkErrors.NZ_NETWORK_TIMEOUT({ data: { peerId, protocol } }),
    })
    try {
      const stream = await connection.newStream(protocol, {
        signal: limit.signal,
        maxOutboundStreams: maxStreamsPerConnection,
        runOnLimitedConnection: true,
      })
      const adopted = paths.adopt(connection, stream)
      if (adopted !== null) return adopted
      stream.abort(new Error('the connection is gone'))
    } catch (cause) {
      throw openError(cause, { peerId, protocol, signal: limit.signal })
    }
    throw networkErrors.NZ_NETWORK_STREAM_RESET({ data: { peerId, protocol } })
  }
}
