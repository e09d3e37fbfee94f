/**
 * The handshake of NZ-HANDSHAKE-01, sans-I/O: frames and time in, frames and at last a session out. Works over streams
 * and over paths that lose, reorder, repeat and invent packets: a message that is not authentic ends nothing.
 */
import { Initiator } from './initiator.ts'
import { Responder } from './responder.ts'
import type { HandshakeInit, RunningHandshake } from './running.ts'

export { localIdentity, STATIC_KEY_PURPOSE, STATIC_SEED_LABEL } from './identity.ts'
export type { Established } from './established.ts'
export type { LocalIdentity, SignStaticKey, VerifyStaticKey } from './identity.ts'
export type { HandshakeInit, InitiatorInit, ResponderInit, RunningHandshake, Step } from './running.ts'

/** Begins a handshake: an initiator's first step is `due(nowMs)`. */
export function startHandshake(init: HandshakeInit): RunningHandshake {
  return init.role === 'initiator' ? new Initiator(init) : new Responder(init)
}
