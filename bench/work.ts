/**
 * What is done over a pipe: the client says in 12 bytes what comes, the server checks it and answers. Time runs in the
 * client, from before the first message to the answer that says all came.
 */
import { differentMessages, MessageCheck, messageOf } from './messages.ts'
import type { Client, Pipe } from './pipe.ts'

export interface Work {
  /**
   * `send`: all messages one way, then one answer; `echo`: each message comes back before the next one goes; `streams`:
   * each message on a stream of its own, `MAX_OPEN_STREAMS` at a time, and back; `dial`: `count` connections, one after
   * the other; `hold`: `count` more connections, which stay; `stall`: all messages one way on one stream, twice, the
   * second time beside a stream whose reader has stopped; `pour`: the server sends, for as long as it is read.
   */
  readonly kind: 'send' | 'echo' | 'streams' | 'dial' | 'hold' | 'stall' | 'pour'
  readonly count: number
  /** Bytes a message, at least 4. */
  readonly size: number
}

export interface Measured {
  readonly ms: number
  /** Round trips in milliseconds, for `echo`. */
  readonly roundTripsMs: readonly number[]
  /** For `stall`. */
  readonly stalled?: {
    /** The same work with nothing beside it. */
    readonly undisturbedMs: number
    /** Bytes that were taken for the reader that has stopped, until a writer had to wait. */
    readonly takenBytes: number
  }
}

/** A writer that did not have to wait for so long will not have to. */
const STALLED_AFTER_MS = 250
/** Where a transport that takes everything is stopped. */
const MAX_STALLED_BYTES = 268_435_456

/** Streams that one connection has open at a time; fewer than any variant allows. */
const MAX_OPEN_STREAMS = 32

const HEADER_BYTES = 12

/** Those of one size, made so far. */
let made: Uint8Array[] = []
/** By their number in the header. */
const KINDS: readonly Work['kind'][] = ['send', 'echo', 'stall', 'pour']

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
        if (work.kind === 'stall') return pipe.pause()
        // Whoever asked may go at any time.
        if (work.kind === 'pour') return void pour(pipe, work).catch(() => undefined)
      }
      const before = check.count
      check.push(rest)
      for (let i = before; i < check.count; i++) {
        if (work.kind === 'echo') void pipe.write(messageOf(i % differentMessages(work.size), work.size))
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

async function pour(pipe: Pipe, { count, size }: Work): Promise<void> {
  const message = messageOf(0, size)
  for (let i = 0; i < count; i++) await pipe.write(message)
}

/** @throws Error when the answer is wrong or does not come within `timeoutMs` */
export async function measureWork(client: Client, work: Work, timeoutMs: number): Promise<Measured> {
  if (work.kind === 'dial') return await dials(client, work)
  if (work.kind === 'hold') return await hold(client, work)
  if (work.kind === 'streams') return await streams(client, work)
  if (work.kind === 'stall') return await stall(client, work, timeoutMs)
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

async function hold(client: Client, { count }: Work): Promise<Measured> {
  const startedAt = performance.now()
  if (client.hold === undefined) throw new Error('this transport has one connection a client')
  await client.hold(count)
  return { ms: performance.now() - startedAt, roundTripsMs: [] }
}

async function stall(client: Client, work: Work, timeoutMs: number): Promise<Measured> {
  const others = { ...work, kind: 'send' } as const
  const { ms: undisturbedMs } = await measureWork(client, others, timeoutMs)
  const pipe = await client.open()
  try {
    pipe.onBytes(() => undefined)
    const takenBytes = await fill(pipe, work)
    const { ms } = await measureWork(client, others, timeoutMs)
    return { ms, roundTripsMs: [], stalled: { undisturbedMs, takenBytes } }
  } finally {
    await pipe.close()
  }
}

/** Writes to a reader that has stopped, until it has to wait. How many bytes were taken. */
async function fill(pipe: Pipe, work: Work): Promise<number> {
  const message = messageOf(0, work.size)
  let takenBytes = 0
  await pipe.write(headerOf(work))
  for (;;) {
    const wait = pipe.write(message)
    takenBytes += message.byteLength
    pipe.flush()
    if (takenBytes >= MAX_STALLED_BYTES) return takenBytes
    const late = new Promise<'late'>((resolve) => setTimeout(resolve, STALLED_AFTER_MS, 'late'))
    // Whatever its fate: the stream is reset in the end.
    if (wait !== undefined && (await Promise.race([wait.catch(() => 'late' as const), late])) === 'late')
      return takenBytes
  }
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

/** `messages`: those of `work`, made before. */
export async function send(pipe: Pipe, work: Work, messages = messagesOf(work)): Promise<Measured> {
  if (messages.length === 0) throw new RangeError('there is nothing to send')
  const answer = Promise.withResolvers<void>()
  pipe.onBytes((bytes) => (bytes[0] === 1 && bytes.byteLength === 1 ? answer.resolve() : answer.reject(bytes)))
  const startedAt = performance.now()
  await pipe.write(headerOf(work))
  for (let i = 0; i < work.count; i++) {
    const wait = pipe.write(messages[i % messages.length] ?? new Uint8Array())
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
  const messages = messagesOf(work)
  const roundTripsMs: number[] = []
  const startedAt = performance.now()
  for (let i = 0; i < work.count; i++) {
    const back = Promise.withResolvers<void>()
    came = back.resolve
    failed = back.reject
    const sentAt = performance.now()
    await pipe.write(messages[i % messages.length] ?? new Uint8Array())
    pipe.flush()
    await back.promise
    roundTripsMs.push(performance.now() - sentAt)
  }
  if (check.count !== work.count) throw new Error(`${check.count} of ${work.count} messages came back`)
  return { ms: performance.now() - startedAt, roundTripsMs }
}

/** Made before the clock runs, and once. The message `i` is `[i % length]`. */
export function messagesOf({ count, size }: Work): readonly Uint8Array[] {
  if (made.length === 0 || made[0]?.byteLength !== size) made = []
  const length = Math.min(count, differentMessages(size))
  for (let i = made.length; i < length; i++) made.push(messageOf(i, size))
  return made.slice(0, length)
}

export function headerOf({ kind, count, size }: Work): Uint8Array {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES))
  header.setUint32(0, KINDS.indexOf(kind))
  header.setUint32(4, count)
  header.setUint32(8, size)
  return new Uint8Array(header.buffer)
}

function readHeader(bytes: Uint8Array): Work {
  const header = new DataView(bytes.buffer, bytes.byteOffset)
  return { kind: KINDS[header.getUint32(0)] ?? 'send', count: header.getUint32(4), size: header.getUint32(8) }
}
