/** The two ends of a request stream as state machines. Sans-I/O. Reference: spec/NZ-RPC-01.md §3. */
import { RpcFrameError } from './frame.ts'
import type { RpcFrame } from './frame.ts'

/** Calls that may be open on one stream. */
export const MAX_CALLS_IN_FLIGHT = 256
const MAX_CALL_ID = 0xffff_ffff

export type RpcOutcome =
  | { readonly ok: true; readonly payload: Uint8Array }
  | { readonly ok: false; readonly code: string; readonly why: string }

/** The caller's end: gives out call ids and matches answers. */
export class CallerCalls {
  readonly #open = new Map<number, (outcome: RpcOutcome) => void>()
  #nextId = 1

  get size(): number {
    return this.#open.size
  }

  /** Whether another call may be opened now. */
  get hasRoom(): boolean {
    return this.#open.size < MAX_CALLS_IN_FLIGHT
  }

  /** A fresh call id; `settle` runs once, when the answer arrives. Ask `hasRoom` before. */
  open(settle: (outcome: RpcOutcome) => void): number {
    if (!this.hasRoom) throw new RangeError('too many calls are open')
    while (this.#open.has(this.#nextId)) this.#advance()
    const call = this.#nextId
    this.#advance()
    this.#open.set(call, settle)
    return call
  }

  /** Forgets a call; `true` when it was open and a cancel should be sent. An answer that is under way is ignored. */
  cancel(call: number): boolean {
    return this.#open.delete(call)
  }

  /** @throws RpcFrameError for a frame that only callers send */
  receive(frame: RpcFrame): void {
    if (frame.type === 'request' || frame.type === 'cancel') throw new RpcFrameError('answerer sent a caller’s frame')
    const settle = this.#open.get(frame.call)
    if (settle === undefined) return
    this.#open.delete(frame.call)
    settle(
      frame.type === 'answer' ? { ok: true, payload: frame.payload } : { ok: false, code: frame.code, why: frame.why },
    )
  }

  #advance(): void {
    this.#nextId = this.#nextId === MAX_CALL_ID ? 1 : this.#nextId + 1
  }
}

export type AnswererAction =
  | { readonly do: 'answer'; readonly request: Extract<RpcFrame, { type: 'request' }> }
  | { readonly do: 'cancel'; readonly call: number }
  /** Nothing is left to do: the call was answered before the cancel came. */
  | { readonly do: 'nothing' }

/** The answerer's end: keeps calls apart and bounded. */
export class AnswererCalls {
  readonly #open = new Set<number>()

  get size(): number {
    return this.#open.size
  }

  /** @throws RpcFrameError for an id in use, too many calls, or a frame that only answerers send */
  receive(frame: RpcFrame): AnswererAction {
    switch (frame.type) {
      case 'request':
        if (this.#open.has(frame.call)) throw new RpcFrameError('call id is in use')
        if (this.#open.size >= MAX_CALLS_IN_FLIGHT) throw new RpcFrameError('too many calls are open')
        this.#open.add(frame.call)
        return { do: 'answer', request: frame }
      case 'cancel':
        return this.#open.has(frame.call) ? { do: 'cancel', call: frame.call } : { do: 'nothing' }
      case 'answer':
      case 'error':
        throw new RpcFrameError('caller sent an answerer’s frame')
    }
  }

  /** The answer or error of the call is on its way (also after a cancel): its id is free. */
  done(call: number): void {
    this.#open.delete(call)
  }
}
