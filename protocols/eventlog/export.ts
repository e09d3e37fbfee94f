/** A log as lines of JSON that anybody can check without its keys. spec/NZ-LOG-01.md §7. */
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { nodeKeyOf } from '../transfer/receipt.ts'
import { encodeEntry, entryHash, hashOf, hexOf, MAX_PAYLOAD_BYTES } from './entry.ts'
import { EXPORT_FORMAT, ExportLine } from './export-line.ts'
import type { VerifySignature } from '../transfer/receipt.ts'
import type { ExportBegin } from './export-line.ts'

export { EXPORT_FORMAT } from './export-line.ts'
export type { ExportBegin, ExportLine } from './export-line.ts'

/** What the signature of an export is for. */
export const EXPORT_PURPOSE = 'nzcore/log-export/1'
/** The longest line that a check takes. */
export const MAX_EXPORT_LINE_BYTES = 1_048_576

/** What an export proves when its check has come to its end. */
export interface ProvenExport {
  readonly log: string
  readonly peerId: string
  readonly after: number
  readonly last: number
  readonly hash: string
  readonly entries: number
  readonly gaps: number
  readonly atMs: number
}

/** The bytes to sign: that the node of `begin` exported this chain. */
export function exportStatement(
  { log, uid, after, previous, atMs }: ExportBegin,
  { last, hash: lastHash, entries }: { readonly last: number; readonly hash: string; readonly entries: number },
): Uint8Array {
  const statement = [EXPORT_FORMAT, log, hashOf(uid), after, hashOf(previous), last, hashOf(lastHash), entries, atMs]
  return encodeCanonical(statement)
}

/** How a payload is written: as text where that is no longer than base64 and gives the same bytes back. */
export function writtenPayload(payload: Uint8Array): { encoding: 'text' | 'base64'; payload: string } {
  const text = textOf(payload)
  if (text !== null && Buffer.byteLength(JSON.stringify(text)) <= payload.byteLength * 2 + 2) {
    return { encoding: 'text', payload: text }
  }
  return { encoding: 'base64', payload: Buffer.from(payload).toString('base64') }
}

/** Takes an export line by line; the first line that does not prove itself throws. */
export class ExportCheck {
  readonly #verify: VerifySignature
  #begin: ExportBegin | null = null
  #next = 0
  #hash = ''
  #entries = 0
  #gaps = 0
  #proven: ProvenExport | null = null

  /** `verify` holds for EXPORT_PURPOSE. */
  constructor(verify: VerifySignature) {
    this.#verify = verify
  }

  /** What was proven; `null` until the end was taken. */
  get proven(): ProvenExport | null {
    return this.#proven
  }

  /** @throws Error that says which line is wrong and why */
  push(line: unknown): void {
    const parsed = ExportLine.safeParse(line)
    if (!parsed.success) throw new Error(`what should be behind entry ${this.#next - 1} is no line of an export`)
    if (this.#proven !== null) throw new Error('something follows the end')
    const { data } = parsed
    if (data.type === 'begin') this.#takeBegin(data)
    else if (this.#begin === null) throw new Error('the export does not begin at its beginning')
    else if (data.type === 'entry') this.#takeEntry(data)
    else if (data.type === 'gap') this.#takeGap(data)
    else this.#takeEnd(data, this.#begin)
  }

  #takeBegin(begin: ExportBegin): void {
    if (this.#begin !== null) throw new Error('it begins twice')
    this.#begin = begin
    this.#next = begin.after + 1
    this.#hash = begin.previous
  }

  #takeEntry({
    kind,
    sequence,
    atMs,
    encoding: written,
    payload,
    hash: claimed,
  }: Extract<ExportLine, { readonly type: 'entry' }>): void {
    if (sequence !== this.#next) throw new Error(`entry ${sequence} is where ${this.#next} should be`)
    const bytes = Buffer.from(payload, written === 'text' ? 'utf8' : 'base64')
    if (bytes.byteLength > MAX_PAYLOAD_BYTES) throw new Error(`entry ${sequence} is too large`)
    const entry = { kind, sequence, atMs, previous: hashOf(this.#hash), payload: bytes }
    if (hexOf(entryHash(encodeEntry(entry))) !== claimed) throw new Error(`entry ${sequence} has another hash`)
    this.#hash = claimed
    this.#next += 1
    this.#entries += 1
  }

  #takeGap({ from, to, previous }: Extract<ExportLine, { readonly type: 'gap' }>): void {
    if (from !== this.#next || to < from) throw new Error(`a gap is where ${this.#next} should be`)
    this.#hash = previous
    this.#next = to + 1
    this.#gaps += 1
  }

  #takeEnd(
    { last, hash: claimed, entries, signature }: Extract<ExportLine, { readonly type: 'end' }>,
    begin: ExportBegin,
  ): void {
    if (last !== this.#next - 1 || claimed !== this.#hash || entries !== this.#entries) {
      throw new Error('the end is not that of these entries')
    }
    const publicKey = nodeKeyOf(begin.peerId)
    const signed = exportStatement(begin, { last, hash: claimed, entries })
    const bytes = new Uint8Array(Buffer.from(signature, 'base64'))
    if (publicKey === null || !this.#verify(signed, bytes, publicKey)) throw new Error('the signature does not fit')
    const { log, peerId, after, atMs } = begin
    this.#proven = { log, peerId, after, last, hash: claimed, entries, gaps: this.#gaps, atMs }
  }
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // Not UTF-8: every payload can be written as base64.
    return null
  }
}
