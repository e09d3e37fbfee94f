/**
 * What is done over a pipe: the client says in 12 bytes what comes, the server checks it and answers. Time runs in the
 * client, from before the first message to the answer that says all came.
 */
import { MessageCheck, messageOf } from './messages.ts'
import type { Client, Pipe } from './pipe.ts'

export interface Work {
  /**
   * `send`: all messages one way, then one answer; `echo`: each message comes back before the next one goes; `streams`:
   * each message on a stream of its own, `MAX_OPEN_STREAMS` at a time, and back; `dial`: `count` connections, one after
   * the other.
   */
  readonly kind: 'send' | 'echo' | 'streams' | 'dial'
  readonly count: number
  /** Bytes a message, at least 4. */
  readonly size: number
}

export interface Measured {
  readonly ms: number
  /** Round trips in milliseconds, for `echo`. */
  readonly roundTripsMs: readonly number[]
}

/** Streams that one connection has open at a time; fewer than any variant allows. */
const MAX_OPEN_STREAMS = 32

const HEADER_BYTES = 12

/** Serves one pipe. A message that is wrong closes it, so that the client's wait fails. */
export function serveWork(pipe: Pipe): void {
  const header = new Uint8Array(HEADER_BYTES)
  let held = 0
  let work: Work | undefined
  let check: MessageCheck | undefined
  pipe.onBytes((bytes) => {
    try {
      let rest = bytes
      if (check === undefined || work === undefined) {
        const part = rest.subarray(0, HEADER_BYTES - held)
        header.set(part, held)
        held += part.byteLength
        rest = rest.subarray(part.byteLength)
        if (held < HEADER_BYTES) return
        work = readHeader(header)
        check = new MessageCheck(work.size)
      }
      const before = check.count
      check.push(rest)
      for (let i = before; i < check.count; i++) {
        if (work.kind === 'echo') void pipe.write(messageOf(i, work.size))
      }
      if (work.kind === 'send' && before < work.count && check.count === work.count) {
        void pipe.write(Uint8Array.of(1))
        pipe.flush()
      }
      if (check.count > work.count) throw new Error('more messages came than were announced')
    } catch (error) {
      process.stderr.write(`${String(error)}\n`)
      void pipe.close()
    }
  })
}

/** @throws Error when the answer is wrong or does not come within `timeoutMs` */
export async function measureWork(client: Client, work: Work, timeoutMs: number): Promise<Measured> {
  if (work.kind === 'dial') return await dials(client, work)
  if (work.kind === 'streams') return await streams(client, work)
  const pipe = await client.open()
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  try {
    const measured = work.kind === 'send' ? send(pipe, work) : echo(pipe, work)
    return await Promise.race([measured, tooLate])
  } finally {
    clearTimeout(timer)
    await pipe.close()
  }
}

async function dials(client: Client, { count }: Work): Promise<Measured> {
  const startedAt = performance.now()
  for (let i = 0; i < count; i++) await client.dial()
  return { ms: performance.now() - startedAt, roundTripsMs: [] }
}

async function streams(client: Client, { count, size }: Work): Promise<Measured> {
  let next = 0
  const startedAt = performance.now()
  const line = async (): Promise<void> => {
    while (next < count) {
      next += 1
      const pipe = await client.open()
      await echo(pipe, { kind: 'echo', count: 1, size })
      await pipe.close()
    }
  }
  await Promise.all(Array.from({ length: MAX_OPEN_STREAMS }, line))
  return { ms: performance.now() - startedAt, roundTripsMs: [] }
}

async function send(pipe: Pipe, work: Work): Promise<Measured> {
  const answer = Promise.withResolvers<void>()
  pipe.onBytes((bytes) => (bytes[0] === 1 && bytes.byteLength === 1 ? answer.resolve() : answer.reject(bytes)))
  // Made before the clock runs: making messages is not what is measured.
  const messages = work.count * work.size <= 33_554_432 ? makeMessages(work) : undefined
  const startedAt = performance.now()
  await pipe.write(headerOf(work))
  for (let i = 0; i < work.count; i++) {
    const wait = pipe.write(messages?.[i] ?? messageOf(i, work.size))
    if (wait !== undefined) await wait
  }
  pipe.flush()
  await answer.promise
  return { ms: performance.now() - startedAt, roundTripsMs: [] }
}

async function echo(pipe: Pipe, work: Work): Promise<Measured> {
  const check = new MessageCheck(work.size)
  let came = (): void => {}
  let failed = (_error: unknown): void => {}
  pipe.onBytes((bytes) => {
    try {
      const before = check.count
      check.push(bytes)
      if (check.count > before) came()
    } catch (error) {
      failed(error)
    }
  })
  await pipe.write(headerOf(work))
  pipe.flush()
  const messages = makeMessages(work)
  const roundTripsMs: number[] = []
  const startedAt = performance.now()
  for (const message of messages) {
    const back = Promise.withResolvers<void>()
    came = back.resolve
    failed = back.reject
    const sentAt = performance.now()
    await pipe.write(message)
    pipe.flush()
    await back.promise
    roundTripsMs.push(performance.now() - sentAt)
  }
  if (check.count !== work.count) throw new Error(`${check.count} of ${work.count} messages came back`)
  return { ms: performance.now() - startedAt, roundTripsMs }
}

function makeMessages({ count, size }: Work): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, i) => messageOf(i, size))
}

function headerOf({ kind, count, size }: Work): Uint8Array {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES))
  header.setUint32(0, kind === 'send' ? 0 : 1)
  header.setUint32(4, count)
  header.setUint32(8, size)
  return new Uint8Array(header.buffer)
}

function readHeader(bytes: Uint8Array): Work {
  const header = new DataView(bytes.buffer, bytes.byteOffset)
  return { kind: header.getUint32(0) === 0 ? 'send' : 'echo', count: header.getUint32(4), size: header.getUint32(8) }
}
