/**
 * Frames of a duplex, after the HTTP upgrade: one type byte, the payload length as 4 bytes big-endian, the payload.
 * Pure; spec/vectors/ipc-frames.json has examples. Data is a stream of bytes: boundaries of frames mean nothing.
 */
import { ipcErrors } from './errors.ts'
import { errorDocumentFrom } from './problem.ts'
import type { ErrorDocument } from '../../kernel/index.ts'

/** Token of the `Upgrade` header. */
export const DUPLEX_PROTOCOL = 'nzcore-frames-1'

export const FRAME_HEADER_BYTES = 5
export const MAX_DATA_FRAME_BYTES = 262_144
/** Control messages and errors. */
export const MAX_MESSAGE_FRAME_BYTES = 65_536

const DATA = 0
const MESSAGE = 1
const END = 2
const ERROR = 3

export type Frame =
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  | { readonly type: 'message'; readonly message: unknown }
  | { readonly type: 'end' }
  | { readonly type: 'error'; readonly error: ErrorDocument }

/** Header and payload, apart, so that data is not copied. @throws NZ_IPC_FRAME_INVALID above the bounds */
export function encodeFrame(frame: Frame): [header: Uint8Array, payload: Uint8Array] {
  switch (frame.type) {
    case 'data':
      return withHeader(DATA, frame.bytes, MAX_DATA_FRAME_BYTES)
    case 'message':
      return withHeader(MESSAGE, toJson(frame.message), MAX_MESSAGE_FRAME_BYTES)
    case 'end':
      return withHeader(END, new Uint8Array(), 0)
    case 'error':
      return withHeader(ERROR, toJson(frame.error), MAX_MESSAGE_FRAME_BYTES)
  }
}

/**
 * Takes bytes in any pieces and gives frames. Holds at most one message; data is given on as it comes, so one data
 * frame may come out in several parts.
 */
export class FrameDecoder {
  #input: Uint8Array = new Uint8Array()
  /** The frame whose payload is being read. */
  #open: { readonly type: number; remaining: number; readonly parts: Uint8Array[] } | null = null
  #header: number[] = []
  #ended = false

  /** Call `next` until it gives `null` before the next `push`. */
  push(bytes: Uint8Array): void {
    if (this.#input.byteLength > 0) throw new TypeError('push before the input was used up')
    this.#input = bytes
  }

  /** `null` when more input is needed. @throws NZ_IPC_FRAME_INVALID; the decoder is of no use afterwards */
  next(): Frame | null {
    while (this.#input.byteLength > 0 || this.#open?.remaining === 0) {
      this.#open ??= this.#readHeader()
      if (this.#open === null) return null
      const frame = this.#readPayload(this.#open)
      if (frame !== null) return frame
    }
    return null
  }

  /** Says that no more input comes. @throws NZ_IPC_FRAME_INVALID inside a frame */
  finish(): void {
    if (this.#open !== null || this.#header.length > 0) throw invalid('the connection ended inside a frame')
  }

  #readHeader(): { type: number; remaining: number; parts: Uint8Array[] } | null {
    while (this.#header.length < FRAME_HEADER_BYTES) {
      const byte = this.#input[0]
      if (byte === undefined) return null
      this.#header.push(byte)
      this.#input = this.#input.subarray(1)
    }
    const [type = 0, a = 0, b = 0, c = 0, d = 0] = this.#header
    this.#header = []
    const length = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
    if (type > ERROR) throw invalid('unknown frame type')
    if (length > maxBytes(type)) throw invalid('frame is longer than it may be')
    if (this.#ended && type !== ERROR) throw invalid('frame after the end')
    return { type, remaining: length, parts: [] }
  }

  #readPayload(open: { readonly type: number; remaining: number; readonly parts: Uint8Array[] }): Frame | null {
    const part = this.#input.subarray(0, open.remaining)
    this.#input = this.#input.subarray(part.byteLength)
    open.remaining -= part.byteLength
    if (open.remaining === 0) this.#open = null
    if (open.type === DATA) return part.byteLength === 0 ? null : { type: 'data', bytes: part }
    open.parts.push(part)
    if (open.remaining > 0) return null
    if (open.type === END) {
      this.#ended = true
      return { type: 'end' }
    }
    return open.type === MESSAGE
      ? { type: 'message', message: fromJson(open.parts) }
      : { type: 'error', error: errorFrom(open.parts) }
  }
}

function maxBytes(type: number): number {
  if (type === DATA) return MAX_DATA_FRAME_BYTES
  return type === END ? 0 : MAX_MESSAGE_FRAME_BYTES
}

function withHeader(type: number, payload: Uint8Array, limit: number): [Uint8Array, Uint8Array] {
  const { byteLength } = payload
  if (byteLength > limit) throw invalid('frame is longer than it may be')
  return [Uint8Array.of(type, byteLength >>> 24, byteLength >>> 16, byteLength >>> 8, byteLength), payload]
}

function toJson(value: unknown): Uint8Array {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new TypeError('a message must be a JSON value')
  return new TextEncoder().encode(text)
}

function fromJson(parts: readonly Uint8Array[]): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))) as unknown
  } catch (cause) {
    throw ipcErrors.NZ_IPC_FRAME_INVALID({ cause, why: 'a message is not JSON in UTF-8' })
  }
}

function errorFrom(parts: readonly Uint8Array[]): ErrorDocument {
  const document = errorDocumentFrom(fromJson(parts))
  if (document === null) throw invalid('an error frame does not hold an error')
  return document
}

function invalid(why: string): Error {
  return ipcErrors.NZ_IPC_FRAME_INVALID({ why })
}
