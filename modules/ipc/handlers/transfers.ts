/** Handlers of the group `transfers`: sending, listening, receiving folders. */
import { TakenMessage } from '../../../protocols/ipc/contract/transfers.ts'
import { transfersErrors } from '../../transfers/service.ts'
import type { transfersContract } from '../../../protocols/ipc/contract/transfers.ts'
import type { Duplex, Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { ByteConsumer, Transfer, TransferSnapshot, TransfersService } from '../../transfers/service.ts'

interface Told {
  readonly transfer: TransferSnapshot
}

export function transfersHandlers({
  transfers,
}: {
  readonly transfers: TransfersService
}): Handlers<typeof transfersContract> {
  return {
    transfersList: async ({ limit }) => ({
      transfers: transfers.list().slice(0, limit),
      inboxes: [...transfers.inboxes()],
    }),
    transfersCancel: async ({ id }) => ({ transfer: await transfers.cancel(id) }),
    async *transfersSendFile(params, { signal }) {
      const left = new AbortController()
      const sent = await transfers.sendFile({ ...params, signal: AbortSignal.any([signal, left.signal]) })
      try {
        yield* tellOf(sent, signal)
      } finally {
        left.abort()
      }
    },
    async transfersSend(params, duplex, { signal }) {
      const ended = AbortSignal.any([signal, duplex.signal])
      const sent = await transfers.sendBytes({ ...params, signal: ended, pull: async () => await nextBytes(duplex) })
      for await (const told of tellOf(sent, ended)) await duplex.send(told)
      await duplex.end()
    },
    async transfersListen({ name, from }, duplex, { signal }) {
      const ended = AbortSignal.any([signal, duplex.signal])
      const transfer = await transfers.listen({
        name,
        consumer: consumerOf(duplex, ended),
        signal: ended,
        ...(from === undefined ? {} : { from }),
      })
      await duplex.send({ transfer })
      await duplex.end()
    },
    transfersReceive: async ({ directory, from, once }) => ({
      inbox: await transfers.openInbox({ directory, isOnce: once, ...(from === undefined ? {} : { from }) }),
    }),
    async *transfersWatchInbox({ id, seen, sinceMs }, { signal }) {
      for await (const event of transfers.watchInbox(id, { seen, sinceMs, signal })) {
        yield { type: event.type, transfer: event.type === 'closed' ? null : event.transfer }
      }
    },
    async transfersStopInbox({ id }) {
      await transfers.closeInbox(id)
      return { id }
    },
  }
}

/** How it goes, then how it ended. @throws what it failed with */
async function* tellOf(transfer: Transfer, signal: AbortSignal): AsyncGenerator<Told> {
  for await (const snapshot of transfer.changes({ signal }))
    if (snapshot.endedAtMs === null) yield { transfer: snapshot }
  yield { transfer: await transfer.result() }
}

async function nextBytes(duplex: Duplex<Told>): Promise<Uint8Array | null> {
  for (;;) {
    const frame = await duplex.read()
    if (frame === null) return null
    if ('bytes' in frame) return frame.bytes
  }
}

/** Writes to the program at the other end and waits until it says that it has taken everything. */
function consumerOf(duplex: Duplex<Told>, signal: AbortSignal): ByteConsumer {
  let written = 0
  let taken = 0
  let waiting: PromiseWithResolvers<void> | null = null
  const gone = (): Error => transfersErrors.NZ_TRANSFERS_CONSUMER_GONE({ cause: signal.reason })
  signal.addEventListener('abort', () => waiting?.reject(gone()), { once: true })
  const listen = async (): Promise<void> => {
    for (let frame = await duplex.read(); frame !== null; frame = await duplex.read()) {
      if (!('message' in frame)) continue
      taken = Math.min(TakenMessage.parse(frame.message).taken, written)
      if (taken === written) waiting?.resolve()
    }
    waiting?.reject(gone())
  }
  listen().catch((error: unknown) => {
    waiting?.reject(error)
    duplex.fail(error)
  })
  return {
    start: async (transfer) => await duplex.send({ transfer }),
    async take(pieces) {
      if (signal.aborted) throw gone()
      const done = Promise.withResolvers<void>()
      done.promise.catch(() => undefined)
      waiting = done
      for (const bytes of pieces) written += bytes.byteLength
      for (const bytes of pieces) await duplex.write(bytes)
      await done.promise
    },
  }
}
