/** Exports of logs: made with the node's signature, and checked without any key of a log. spec/NZ-LOG-01.md §7. */
import {
  EXPORT_FORMAT,
  EXPORT_PURPOSE,
  ExportCheck,
  exportStatement,
  MAX_EXPORT_LINE_BYTES,
  writtenPayload,
} from '../../protocols/eventlog/export.ts'
import { hexOf } from '../../protocols/eventlog/entry.ts'
import { readLog } from './reading.ts'
import { eventLogErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { ExportBegin, ExportLine, ProvenExport } from '../../protocols/eventlog/export.ts'
import type { IdentityService, PublicIdentity } from '../identity/service.ts'
import type { Log } from './log.ts'
import type { ReadOptions } from './service.ts'

/** Who exports. */
export type Signer = Pick<IdentityService, 'signAsNode'> & { readonly self: Pick<PublicIdentity, 'peerId'> }

/** Up to what was acknowledged when it was asked for. @throws as `readLog` */
export async function* exportLog(
  log: Log,
  services: { readonly signer: Signer; readonly clock: Clock },
  { after = 0, signal }: ReadOptions,
): AsyncGenerator<ExportLine> {
  const { signer, clock } = services
  log.requireReadable()
  const { name, uid, sequence: until } = log.writer.requireHead()
  let last = Math.min(after, until)
  let hash: string | null = null
  let entries = 0
  const begin = (previous: string): ExportBegin => {
    const atMs = Math.max(0, Math.floor(clock.nowMs()))
    return {
      type: 'begin',
      format: EXPORT_FORMAT,
      log: name,
      uid,
      after: last,
      previous,
      peerId: signer.self.peerId,
      atMs,
    }
  }
  let begun: ExportBegin | null = null
  for await (const item of readLog(log, { after: last, signal })) {
    if ((item.type === 'gap' ? item.from : item.sequence) > until) break
    if (begun === null) {
      begun = begin(hexOf(item.previous))
      yield begun
    }
    if (item.type === 'gap') {
      const { reason, from, to } = item
      hash = hexOf(item.previous)
      last = to
      yield { type: 'gap', reason, from, to, previous: hash }
      continue
    }
    const { kind, sequence, atMs, payload } = item
    hash = hexOf(item.hash)
    last = sequence
    entries += 1
    yield { type: 'entry', kind, sequence, atMs, ...writtenPayload(payload), hash }
  }
  signal.throwIfAborted()
  if (begun === null) {
    begun = begin(log.writer.requireHead().hash)
    yield begun
  }
  const end = { last, hash: hash ?? begun.previous, entries }
  const signature = signer.signAsNode(EXPORT_PURPOSE, exportStatement(begun, end))
  yield { type: 'end', ...end, signature: Buffer.from(signature).toString('base64') }
}

/** Whether lines are a whole export that its node has signed. @throws NZ_LOG_EXPORT_INVALID */
export async function checkExport(
  lines: AsyncIterable<string>,
  { verify }: Pick<IdentityService, 'verify'>,
): Promise<ProvenExport> {
  const check = new ExportCheck((message, signature, publicKey) =>
    verify(EXPORT_PURPOSE, message, signature, publicKey),
  )
  for await (const line of lines) {
    if (line === '') continue
    try {
      if (Buffer.byteLength(line) > MAX_EXPORT_LINE_BYTES) throw new Error('a line is too long')
      const { schema: _, ...rest } = JSON.parse(line) as Record<string, unknown>
      check.push(rest)
    } catch (error) {
      const why = error instanceof SyntaxError ? 'a line is not JSON' : error instanceof Error ? error.message : ''
      throw eventLogErrors.NZ_LOG_EXPORT_INVALID({ why, cause: error })
    }
  }
  if (check.proven === null) throw eventLogErrors.NZ_LOG_EXPORT_INVALID({ why: 'the end is missing' })
  return check.proven
}
