/** Handlers of the group `files`: contents come and go as raw bytes, at the pace of the slower side. */
import { bounded } from '../../../kernel/index.ts'
import { filesErrors } from '../../files/service.ts'
import type { Clock } from '../../../kernel/index.ts'
import type { filesContract } from '../../../protocols/ipc/contract/files.ts'
import type { Duplex, Handlers, ParamsOf, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ByteRange, FilesService } from '../../files/service.ts'

/** How long the other side may give or take nothing. */
export const IDLE_LIMIT_MS = 900_000
/** Files between two items of a verification. */
const VERIFY_STEP = 100
/** Bytes between two items of a verification. */
const VERIFY_STEP_BYTES = 268_435_456

type Verification = ResultOf<(typeof filesContract)['filesVerify']>

export function filesHandlers({
  files,
  clock,
}: {
  readonly files: FilesService
  readonly clock: Clock
}): Handlers<typeof filesContract> {
  return {
    async filesPut({ name, mime, replaces }, duplex, { signal }) {
      const file = await files.put(name, received(duplex, clock), { mime, replaces, signal })
      await duplex.send({ file })
      await duplex.end()
    },
    async filesGet({ name, ...range }, duplex, { signal }) {
      await using reading = await files.read(name, { range: rangeOf(range), signal })
      const { file, start, end } = reading
      await duplex.send({ file, start, end })
      for await (const bytes of reading) await unlessIdle(clock, signal, async () => await duplex.write(bytes))
      await duplex.end()
    },
    filesInfo: async ({ name }) => ({ file: await files.info(name) }),
    async filesList({ limit, ...range }) {
      const found = await files.list({ ...range, limit })
      const last = found.at(-1)
      const isFull = last !== undefined && found.length === limit
      const hasMore = isFull && (await files.list({ ...range, after: last.name, limit: 1 })).length > 0
      return { files: [...found], hasMore, usage: await files.status() }
    },
    filesRemove: async ({ name }) => ({ file: await files.remove(name) }),
    async filesCollect({ dryRun, damaged }, { signal }) {
      const { contentIds, ...found } = await files.collect({ isDryRun: dryRun, includesDamaged: damaged, signal })
      return { isDryRun: dryRun, ...found, contentIds: [...contentIds] }
    },
    filesVerify: ({ name }, { signal }) => verify(files, name, signal),
    async *filesWatch({ after }, { signal }) {
      for await (const change of files.watch({ signal, ...(after === undefined ? {} : { after }) })) {
        yield { kind: change.kind, cursor: change.cursor, name: change.kind === 'gap' ? null : change.name }
      }
    },
  }
}

/** Tells now and then how far it has come, and of damage at once. */
async function* verify(
  files: FilesService,
  name: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Verification> {
  let count = 0
  let bytes = 0
  let toldAt = { count, bytes }
  const proven = new Set<string>()
  for await (const one of files.verify({ signal, ...(name === undefined ? {} : { name }) })) {
    count += 1
    if (!proven.has(one.contentId)) bytes += one.size
    proven.add(one.contentId)
    const { contentId, why } = one
    const damaged = one.isIntact ? [] : [{ name: one.name, contentId, why: why ?? '' }]
    const isFar = count - toldAt.count >= VERIFY_STEP || bytes - toldAt.bytes >= VERIFY_STEP_BYTES
    if (damaged.length === 0 && !isFar) continue
    toldAt = { count, bytes }
    yield { isDone: false, files: count, bytes, damaged }
  }
  yield { isDone: true, files: count, bytes, damaged: [] }
}

/** What the other side writes until it says that this was all. */
async function* received(duplex: Duplex, clock: Clock): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const frame = await unlessIdle(clock, duplex.signal, async () => await duplex.read())
    if (frame === null) return
    if ('bytes' in frame) yield frame.bytes
  }
}

async function unlessIdle<T>(clock: Clock, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const timeoutError = (): Error => filesErrors.NZ_FILES_STALLED({ data: { afterMs: IDLE_LIMIT_MS } })
  return await bounded(work, { clock, signal, timeoutMs: IDLE_LIMIT_MS, timeoutError })
}

/** @throws NZ_FILES_RANGE when both ways to say it are used */
function rangeOf({
  from,
  to,
  last,
}: Omit<ParamsOf<(typeof filesContract)['filesGet']>, 'name'>): ByteRange | undefined {
  if (last === undefined) return from === undefined && to === undefined ? undefined : { from: from ?? 0, to }
  if (from === undefined && to === undefined) return { last }
  throw filesErrors.NZ_FILES_RANGE({ why: 'give from and to, or last' })
}
