/**
 * From the last verified byte to the final name, so that a crash at any point leaves either the partial file or the whole
 * one, and never a receipt without the file: record what is to be done, link the name, record it as done, unlink the part.
 */
import { join } from 'node:path'
import { PartFile, storageError } from './part-file.ts'
import { transfersEvents } from './service.ts'
import type { ReceiptFacts } from '../../protocols/transfer/receipt.ts'
import type { ReceiptMessage } from '../../protocols/transfer/messages.ts'
import type { Partial, Partials } from './partials.ts'
import type { TransferProgress } from './progress.ts'
import type { ReceivingServices } from './receiving.ts'
import type { HistoryRecord, PartialRecord } from './state.ts'

/** Gives a verified file its name; the receipt may be sent when it resolves. */
export async function completePartial(
  services: Pick<ReceivingServices, 'context' | 'state' | 'board' | 'receipts'>,
  partials: Partials,
  partial: Partial,
  progress: TransferProgress,
  facts: ReceiptFacts,
): Promise<Omit<ReceiptMessage, 'type'>> {
  const { board, context, receipts, state } = services
  const { record, sink } = partial
  const receipt = receipts.issue(facts, context.clock.nowMs())
  const sha256 = Buffer.from(facts.sha256).toString('hex')
  await recorded(state.putPartial({ ...record, complete: { size: facts.size, sha256, receipt } }))
  const path = await sink.file.publish(record.directory, record.name)
  partials.forget(partial)
  progress.done({ bytes: facts.size, size: facts.size, sha256, path, receipt })
  // The file is there, and this node has said so for good: what the store does not take now changes nothing about that.
  if (await board.finish(progress, record.inboxId, { partial: record.file })) await sink.file.remove()
  else await partials.removeLater(sink.file)
  const { peerId } = record
  context.events.emit(transfersEvents.received, {
    id: record.id,
    peerId,
    name: record.name,
    size: facts.size,
    sha256,
    path,
  })
  return receipts.wire(receipt)
}

/** Finishes what was verified and recorded before the process ended. */
export async function resumeCompletions({
  context,
  contacts,
  state,
}: Pick<ReceivingServices, 'context' | 'contacts' | 'state'>): Promise<void> {
  for (const record of Array.from(state.partials.values())) {
    const { complete } = record
    if (complete === null) continue
    const file = new PartFile(join(record.directory, record.file))
    try {
      if (!(await file.exists())) {
        // Its bytes are gone: it was removed, or this step had failed and was answered so. Nothing is left to finish.
        await state.removePartial(record.file)
        context.log.warn('transfers.completionLost', { id: record.id })
        continue
      }
      const path = await file.publish(record.directory, record.name)
      const peer = contacts.get(record.peerId)?.name ?? record.peerId
      await state.remember(historyOf(record, complete, { path, peer }), { partial: record.file })
      await file.remove()
      context.log.info('transfers.completed', { id: record.id, path })
    } catch (error) {
      context.log.error('transfers.completionFailed', { id: record.id, directory: record.directory, error })
    }
  }
}

function historyOf(
  record: PartialRecord,
  complete: NonNullable<PartialRecord['complete']>,
  { path, peer }: { path: string; peer: string },
): HistoryRecord {
  const { id, inboxId, name, peerId, createdAtMs, touchedAtMs } = record
  const { size, sha256, receipt } = complete
  return {
    id,
    direction: 'receiving',
    peerId,
    peer,
    name,
    state: 'done',
    size,
    bytes: size,
    startedAtMs: createdAtMs,
    endedAtMs: touchedAtMs,
    sha256,
    path,
    receipt,
    code: null,
    inboxId,
  }
}

async function recorded(written: Promise<void>): Promise<void> {
  try {
    await written
  } catch (error) {
    throw storageError(error)
  }
}
