/**
 * What LevelDB's manifests say, read before LevelDB reads them: which tables are in use, and which manifest is the one
 * to go by. Formats: leveldb, doc/log_format.md, doc/impl.md, db/version_edit.cc.
 *
 * LevelDB names its manifest in the file CURRENT by a rename that it does not sync, and removes what the manifest
 * before needed. A power cut may keep the removals and lose the rename. The last edit of a manifest may be torn, and
 * LevelDB refuses to open one that is; what that edit did was not acted upon yet. Nor was an edit that is whole and
 * names a table that is not there: LevelDB writes the edit, then makes the names of tables durable, then syncs the edit.
 * Tables that a crash left half-written are in no manifest, and LevelDB removes them.
 */
import { open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { hasChecksum, Varints } from './level-bytes.ts'
import { damagedTables } from './table-check.ts'
import type { TableNote } from './table-check.ts'

const BLOCK_BYTES = 32_768
/** masked CRC-32C u32 · length u16 · type u8 */
const HEADER_BYTES = 7
const MANIFEST_NAME = /^MANIFEST-(\d+)$/
/** Tags of an edit; 6 takes a table out of use, 7 puts one to use. */
const TAG = {
  comparator: 1,
  log: 2,
  nextFile: 3,
  sequence: 4,
  pointer: 5,
  removed: 6,
  added: 7,
  previousLog: 9,
} as const

export interface Manifest {
  /** The tables in use, by their numbers. */
  readonly tables: ReadonlyMap<number, TableNote>
  /** The log that is being written; 0 when there is none yet. */
  readonly log: number
  /** Where the last edit that is whole ends. */
  readonly wholeBytes: number
  /** Where it begins, or a little before: where the edit before it ends. */
  readonly lastEditAt: number
}

/**
 * Has LevelDB go by the latest manifest whose files are all there, when that is not what its files say after a crash.
 * The tables in use, by their numbers; `null` when no manifest is fit, and LevelDB itself says what is wrong.
 *
 * @throws what the file system says
 */
export async function settleManifest(dir: string): Promise<ReadonlyMap<number, TableNote> | null> {
  const names = await readdir(dir)
  const numbers = names.flatMap((name) => MANIFEST_NAME.exec(name)?.[1] ?? []).toSorted((a, b) => Number(b) - Number(a))
  const current = names.includes('CURRENT') ? (await readFile(join(dir, 'CURRENT'), 'latin1')).trim() : ''
  for (const number of numbers) {
    const name = `MANIFEST-${number}`
    const bytes = await readFile(join(dir, name))
    const manifest = readManifest(bytes)
    const isCurrent = name === current
    const isWhole = manifest?.wholeBytes === bytes.byteLength
    // Such a one is not doubted.
    if (isCurrent && isWhole && hasTables(names, manifest)) return manifest.tables
    // One edit is left out at most: the one that is torn, or the last.
    const before = isWhole ? readManifest(bytes.subarray(0, manifest.lastEditAt)) : null
    for (const state of [manifest, before]) {
      if (state === null || !(await isFit(dir, state))) continue
      if (state.wholeBytes < bytes.byteLength) await truncateFile(join(dir, name), state.wholeBytes)
      if (!isCurrent) await nameCurrent(dir, name)
      return state.tables
    }
    // Those before the current one are older than what was acknowledged.
    if (isCurrent) return isWhole ? manifest.tables : null
  }
  return null
}

/** `null` when these bytes hold no state of a database. Never throws for bad bytes. */
export function readManifest(bytes: Uint8Array): Manifest | null {
  const tables = new Map<number, TableNote>()
  const known = new Map<number, number>()
  let wholeBytes = 0
  let lastEditAt = 0
  for (const { edit, end } of logRecords(bytes)) {
    if (!applyEdit(edit, tables, known)) break
    lastEditAt = wholeBytes
    wholeBytes = end
  }
  const log = known.get(TAG.log)
  const isState = log !== undefined && known.has(TAG.nextFile) && known.has(TAG.sequence)
  return isState ? { tables, log, wholeBytes, lastEditAt } : null
}

/** Whole records of a log up to the first that is not. */
function* logRecords(bytes: Uint8Array): Generator<{ readonly edit: Uint8Array; readonly end: number }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let parts: Uint8Array[] = []
  for (let at = 0; at + HEADER_BYTES <= bytes.byteLength;) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < HEADER_BYTES) {
      at += left
      continue
    }
    const end = at + HEADER_BYTES + view.getUint16(at + 4, true)
    const type = view.getUint8(at + 6)
    const isFirst = type === 1 || type === 2
    const isInside = end <= bytes.byteLength && end - at <= left
    if (!isInside || type < 1 || type > 4 || isFirst !== (parts.length === 0)) return
    if (!hasChecksum(view, at + 6, end, view.getUint32(at, true))) return
    parts.push(bytes.subarray(at + HEADER_BYTES, end))
    at = end
    if (type === 1 || type === 4) {
      yield { edit: Buffer.concat(parts), end }
      parts = []
    }
  }
}

/** `false` when it is no edit. */
function applyEdit(edit: Uint8Array, tables: Map<number, TableNote>, known: Map<number, number>): boolean {
  const reader = new Varints(edit, 0, edit.byteLength)
  const added: (readonly [number, TableNote])[] = []
  while (!reader.isAtEnd) {
    const tag = reader.next()
    if (tag === TAG.comparator) {
      if (reader.bytes() === null) return false
      continue
    }
    // A number, or the level of what follows.
    const first = reader.next()
    if (tag === null || first === null) return false
    if (tag === TAG.pointer) {
      if (reader.bytes() === null) return false
    } else if (tag === TAG.removed || tag === TAG.added) {
      const number = reader.next()
      if (number === null) return false
      if (tag === TAG.removed) {
        tables.delete(number)
        continue
      }
      const [bytes, firstKey, lastKey] = [reader.next(), reader.bytes(), reader.bytes()]
      if (bytes === null || firstKey === null || lastKey === null) return false
      added.push([number, { bytes, firstKey }])
    } else if (tag === TAG.log || tag === TAG.nextFile || tag === TAG.sequence || tag === TAG.previousLog) {
      known.set(tag, first)
    } else return false
  }
  // A table that changes its level is removed and added by one edit.
  for (const [number, table] of added) tables.set(number, table)
  return true
}

/** Whether the files of the tables in use are there, whatever is in them. */
function hasTables(names: readonly string[], { tables }: Manifest): boolean {
  const present = new Set(
    names.filter((name) => /^\d+\.(?:ldb|sst)$/.test(name)).map((name) => Number.parseInt(name, 10)),
  )
  return [...tables.keys()].every((number) => present.has(number))
}

/** Whether a database can be opened by this state without losing what it held. */
async function isFit(dir: string, { tables, log }: Manifest): Promise<boolean> {
  const hasLog = log === 0 || (await readdir(dir)).includes(`${String(log).padStart(6, '0')}.log`)
  return hasLog && (await damagedTables(dir, tables)).length === 0
}

async function truncateFile(path: string, bytes: number): Promise<void> {
  await using handle = await open(path, 'r+')
  await handle.truncate(bytes)
  await handle.sync()
}

async function nameCurrent(dir: string, name: string): Promise<void> {
  {
    // Who wrote it may have been killed before its sync.
    await using manifest = await open(join(dir, name), 'r+')
    await manifest.sync()
  }
  // LevelDB removes files of this ending that a crash leaves behind.
  const aside = join(dir, '000000.dbtmp')
  {
    await using handle = await open(aside, 'w', 0o600)
    await handle.writeFile(`${name}\n`)
    await handle.sync()
  }
  await rename(aside, join(dir, 'CURRENT'))
  await using folder = await open(dir, 'r')
  await folder.sync()
}
