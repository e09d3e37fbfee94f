/** The byte pipe of a Node.js socket (the connection after its upgrade). */
import type { Socket } from 'node:net'
import type { BytePipe } from './framed-duplex.ts'

/** How long a closing side waits in silence for the other to close too. */
export const DUPLEX_LINGER_MS = 5_000

export function pipeOfSocket(socket: Socket): BytePipe {
  let failure: Error | null = null
  let drained: PromiseWithResolvers<void> | null = null
  const settle = (): void => {
    drained?.resolve()
    drained = null
  }
  socket.on('drain', settle)
  socket.on('error', (error: Error) => {
    failure = error
  })
  socket.once('close', settle)
  socket.setNoDelay(true)
  socket.setTimeout(0)
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Uint8Array>

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
      if (socket.writableEnded) return
      socket.setTimeout(DUPLEX_LINGER_MS, () => socket.destroy())
      socket.end()
    },
    destroy() {
      socket.destroySoon()
    },
  }
}
