/**
 * Frames of the request stream between two peers. Sans-I/O. Reference: spec/NZ-RPC-01.md §2.
 *
 *   length u32 | type u8 | call u32 | body        (big-endian; length counts type, call and body)
 */

/** The stream protocol the caller opens. One stream a direction; the opener is the caller. */
export const RPC_PROTOCOL = '/nzcore/rpc/1'
/** Largest payload of a request or an answer. */
export const MAX_PAYLOAD_BYTES = 1024 * 1024
export const MAX_METHOD_LENGTH = 64
export const MAX_CODE_LENGTH = 64
/** Longest explanation of an error, in UTF-8 bytes. */
export const MAX_WHY_BYTES = 512
/** Longest time a caller may give, ten minutes. */
export const MAX_TIMEOUT_MS = 600_000
const LENGTH_BYTES = 4
const HEAD_BYTES = 5
/** Pieces of an unfinished frame that are kept apart: a piece of one byte costs a hundred. */
const MAX_PIECES = 256
/** type, call, timeout, method length, method, payload. */
export const MAX_FRAME_BYTES = HEAD_BYTES + 4 + 1 + MAX_METHOD_LENGTH + MAX_PAYLOAD_BYTES

export type RpcFrame =
  /** `timeoutMs` is the time that is left to the caller when it sends. */
  | {
      readonly type: 'request'
      readonly call: number
      readonly timeoutMs: number
      readonly method: string
      readonly payload: Uint8Array
    }
  | { readonly type: 'answer'; readonly call: number; readonly payload: Uint8Array }
  | { readonly type: 'error'; readonly call: number; readonly code: string; readonly why: string }
  /** The caller no longer waits. */
  | { readonly type: 'cancel'; readonly call: number }

const types = { request: 1, answer: 2, error: 3, cancel: 4 } as const satisfies Record<RpcFrame['type'], number>

/** Bytes that no correct peer sends: the stream is reset. */
export class RpcFrameError extends Error {
  override readonly name = 'RpcFrameError'
}

/** Programmer errors (a method or code that cannot be sent, a payload above the bound) are assertions here. */
export function encodeFrame(frame: RpcFrame): Uint8Array {
  const body = encodeBody(frame)
  const bytes = new Uint8Array(LENGTH_BYTES + HEAD_BYTES + body.byteLength)
  const view = new DataView(bytes.buffer)
  if (HEAD_BYTES + body.byteLength > MAX_FRAME_BYTES) throw new RangeError('frame is too large')
  view.setUint32(0, HEAD_BYTES + body.byteLength)
  view.setUint8(4, types[frame.type])
  view.setUint32(5, frame.call)
  bytes.set(body, LENGTH_BYTES + HEAD_BYTES)
  return bytes
}

/** Takes bytes as they arrive and gives whole frames. Holds at most one unfinished frame, never more than arrived. */
export class FrameDecoder {
  readonly #parts: Uint8Array[] = []
  #heldBytes = 0

  /** Bytes of the unfinished frame. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** @throws RpcFrameError; the decoder is not usable after it */
  push(bytes: Uint8Array): RpcFrame[] {
    this.#parts.push(bytes)
    this.#heldBytes += bytes.byteLength
    if (this.#parts.length > MAX_PIECES) this.#join(this.#heldBytes)
    const frames: RpcFrame[] = []
    for (let length = this.#frameLength(); length !== null; length = this.#frameLength()) {
      if (this.#heldBytes < LENGTH_BYTES + length) break
      frames.push(decodeFrame(this.#cut(LENGTH_BYTES + length).subarray(LENGTH_BYTES)))
    }
    return frames
  }

  /** The announced length of the next frame, checked before anything is kept for it; `null` when not yet known. */
  #frameLength(): number | null {
    if (this.#heldBytes < LENGTH_BYTES) return null
    const head = this.#join(LENGTH_BYTES)
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0)
    if (length < HEAD_BYTES || length > MAX_FRAME_BYTES) throw new RpcFrameError(`frame of ${length} bytes`)
    return length
  }

  /** The first part, made at least `byteLength` long. */
  #join(byteLength: number): Uint8Array {
    const first = this.#parts[0] ?? new Uint8Array()
    if (first.byteLength >= byteLength) return first
    const whole = new Uint8Array(this.#heldBytes)
    let at = 0
    for (const part of this.#parts.splice(0)) {
      whole.set(part, at)
      at += part.byteLength
    }
    this.#parts.push(whole)
    return whole
  }

  #cut(byteLength: number): Uint8Array {
    const first = this.#join(byteLength)
    this.#heldBytes -= byteLength
    if (first.byteLength === byteLength) this.#parts.shift()
    else this.#parts[0] = first.subarray(byteLength)
    return first.subarray(0, byteLength)
  }
}

function encodeBody(frame: RpcFrame): Uint8Array {
  switch (frame.type) {
    case 'request': {
      const method = encodeName(frame.method, MAX_METHOD_LENGTH)
      const body = new Uint8Array(5 + method.byteLength + frame.payload.byteLength)
      const view = new DataView(body.buffer)
      view.setUint32(0, Math.min(Math.max(0, Math.ceil(frame.timeoutMs)), MAX_TIMEOUT_MS))
      view.setUint8(4, method.byteLength)
      body.set(method, 5)
      body.set(frame.payload, 5 + method.byteLength)
      return body
    }
    case 'answer':
      return frame.payload
    case 'error': {
      const code = encodeName(frame.code, MAX_CODE_LENGTH)
      const why = cutUtf8(frame.why, MAX_WHY_BYTES)
      const body = new Uint8Array(1 + code.byteLength + why.byteLength)
      body[0] = code.byteLength
      body.set(code, 1)
      body.set(why, 1 + code.byteLength)
      return body
    }
    case 'cancel':
      return new Uint8Array()
  }
}

/** @throws RpcFrameError */
function decodeFrame(bytes: Uint8Array): RpcFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const call = view.getUint32(1)
  const body = bytes.subarray(HEAD_BYTES)
  switch (view.getUint8(0)) {
    case types.request: {
      if (body.byteLength < 5) throw new RpcFrameError('request is cut short')
      const timeoutMs = view.getUint32(HEAD_BYTES)
      if (timeoutMs > MAX_TIMEOUT_MS) throw new RpcFrameError('timeout is too long')
      const end = 5 + view.getUint8(HEAD_BYTES + 4)
      const method = decodeName(body.subarray(5, end), end - 5, MAX_METHOD_LENGTH)
      return { type: 'request', call, timeoutMs, method, payload: bounded(body.subarray(end)) }
    }
    case types.answer:
      return { type: 'answer', call, payload: bounded(body) }
    case types.error: {
      const length = body[0] ?? 0
      const code = decodeName(body.subarray(1, 1 + length), length, MAX_CODE_LENGTH)
      const why = body.subarray(1 + length)
      if (why.byteLength > MAX_WHY_BYTES) throw new RpcFrameError('explanation is too long')
      return { type: 'error', call, code, why: decodeUtf8(why) }
    }
    case types.cancel:
      if (body.byteLength > 0) throw new RpcFrameError('cancel has a body')
      return { type: 'cancel', call }
    default:
      throw new RpcFrameError('type of frame is unknown')
  }
}

/** Methods (`contacts/rename`) and error codes (`NZ_CONTACTS_NOT_FOUND`). */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._/-]*$/

function encodeName(name: string, maxLength: number): Uint8Array {
  if (name.length > maxLength || !namePattern.test(name)) throw new RangeError(`name cannot be sent: ${name}`)
  return new TextEncoder().encode(name)
}

function decodeName(bytes: Uint8Array, announcedLength: number, maxLength: number): string {
  if (bytes.byteLength !== announcedLength || announcedLength > maxLength) throw new RpcFrameError('name is cut short')
  const name = String.fromCharCode(...bytes)
  if (!namePattern.test(name)) throw new RpcFrameError('name has other characters')
  return name
}

function bounded(payload: Uint8Array): Uint8Array {
  if (payload.byteLength > MAX_PAYLOAD_BYTES) throw new RpcFrameError('payload is too large')
  return payload
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new RpcFrameError('explanation is no UTF-8')
  }
}

/** At most `maxBytes` of `text`, cut between characters. */
function cutUtf8(text: string, maxBytes: number): Uint8Array {
  const bytes = new Uint8Array(maxBytes)
  const { written } = new TextEncoder().encodeInto(text.toWellFormed(), bytes)
  return bytes.subarray(0, written)
}
