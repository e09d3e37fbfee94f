/** The byte pipe of a socket after its upgrade. */
import type { Clock, Timer } from '../../kernel/index.ts'
import type { BytePipe } from './framed-duplex.ts'

/** How long a side that is through waits for the other to be through too. */
export const DUPLEX_LINGER_MS = 5_000

/** What is used of a `net.Socket`. */
export interface ByteSocket {
  readonly destroyed: boolean
  readonly writableEnded: boolean
  readonly writableNeedDrain: boolean
  on(event: 'drain', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  once(event: 'close', listener: () => void): unknown
  iterator(options: { destroyOnReturn: boolean }): AsyncIterableIterator<Uint8Array>
  setNoDelay(isOn: boolean): unknown
  cork(): void
  uncork(): void
  write(bytes: Uint8Array): boolean
  end(): unknown
  destroy(): unknown
  destroySoon(): void
}

export function pipeOfSocket(socket: ByteSocket, clock: Clock): BytePipe {
  let failure: Error | null = null
  let drained: PromiseWithResolvers<void> | null = null
  let linger: Timer | null = null
  const settle = (): void => {
    drained?.resolve()
    drained = null
  }
  socket.on('drain', settle)
  socket.on('error', (error: Error) => {
    failure = error
  })
  socket.once('close', () => {
    linger?.cancel()
    settle()
  })
  socket.setNoDelay(true)
  const chunks = socket.iterator({ destroyOnReturn: false })

  function expectOpen(): void {
    if (socket.destroyed || socket.writableEnded) throw failure ?? new DOMException('connection closed', 'AbortError')
  }

  return {
    async read() {
      const { done, value } = await chunks.next()
      return done === true ? null : value
    },
    async write(parts) {
      expectOpen()
      socket.cork()
      for (const part of parts) if (part.byteLength > 0) socket.write(part)
      socket.uncork()
      if (!socket.writableNeedDrain) return
      drained ??= Promise.withResolvers()
      await drained.promise
      if (socket.destroyed) expectOpen()
    },
    end() {
      if (socket.writableEnded || socket.destroyed) return
      linger = clock.setTimer(DUPLEX_LINGER_MS, () => void socket.destroy(), { unref: true })
      socket.end()
    },
    destroy() {
      socket.destroySoon()
    },
  }
}
