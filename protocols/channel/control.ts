/** Control messages sealed in packets (NZ-CHANNEL-01 §6). */

export const controlType = { ping: 0, pong: 1, propose: 2, accept: 3, close: 4 } as const
const KEY_BYTES = 32
/** Of an acceptance: shows that its sender has the keys of the new epoch. */
export const CONFIRMATION_BYTES = 16
const PROPOSE_BYTES = 1 + 4 + KEY_BYTES

export type Control = { readonly type: 'ping' | 'pong' | 'close' } | Proposal | Acceptance

export interface Proposal {
  readonly type: 'propose'
  readonly epoch: number
  readonly publicKey: Uint8Array
}

export interface Acceptance {
  readonly type: 'accept'
  readonly epoch: number
  readonly publicKey: Uint8Array
  readonly confirmation: Uint8Array
}

export function encodeControl(control: Control): Uint8Array {
  if (!('epoch' in control)) return Uint8Array.of(controlType[control.type])
  const bytes = new Uint8Array(PROPOSE_BYTES + (control.type === 'accept' ? CONFIRMATION_BYTES : 0))
  bytes[0] = controlType[control.type]
  new DataView(bytes.buffer).setUint32(1, control.epoch)
  bytes.set(control.publicKey, 5)
  if (control.type === 'accept') bytes.set(control.confirmation, PROPOSE_BYTES)
  return bytes
}

/** `null` for bytes that are none. */
export function decodeControl(bytes: Uint8Array): Control | null {
  switch (bytes[0] ?? -1) {
    case controlType.ping:
      return bytes.byteLength === 1 ? { type: 'ping' } : null
    case controlType.pong:
      return bytes.byteLength === 1 ? { type: 'pong' } : null
    case controlType.close:
      return bytes.byteLength === 1 ? { type: 'close' } : null
    case controlType.propose:
      return bytes.byteLength === PROPOSE_BYTES ? { type: 'propose', ...offerOf(bytes) } : null
    case controlType.accept:
      return bytes.byteLength === PROPOSE_BYTES + CONFIRMATION_BYTES
        ? { type: 'accept', ...offerOf(bytes), confirmation: bytes.slice(PROPOSE_BYTES) }
        : null
    default:
      return null
  }
}

function offerOf(bytes: Uint8Array): { readonly epoch: number; readonly publicKey: Uint8Array } {
  const epoch = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(1)
  return { epoch, publicKey: bytes.slice(5, PROPOSE_BYTES) }
}
