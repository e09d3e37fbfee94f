/** What hostile peers do, each on connections of its own: they know the keys, and send what they like. */
import { FLAG, FRAME, HEADER_BYTES, INITIAL_WINDOW_BYTES } from '../protocols/yamux/constants.ts'
import { writeHeader } from '../protocols/yamux/header.ts'
import { differentMessages, messageOf } from './messages.ts'
import { headerOf } from './work.ts'
import type { HostilePeer } from './hostile-peer.ts'

export const ATTACKS = [
  /** Many connections that shook hands and say nothing more. */
  'silent',
  /** Bytes that are no record; cut, and there again. */
  'garbage',
  /** A record twice; cut, and there again. */
  'replay',
  /** A frame of four gigabytes; cut, and there again. */
  'oversized',
  /** A window and a byte; cut, and there again. */
  'window',
  /** Asks for an answer with every frame. */
  'pings',
  /** Opens streams beyond every limit. */
  'streams',
  /** Opens streams and resets them at once. */
  'resets',
  /** One byte a frame, on a stream that somebody reads. */
  'crumbs',
  /** Has much sent to it and reads nothing. */
  'deaf',
] as const

export type Attack = (typeof ATTACKS)[number]

export function isAttack(name: string): name is Attack {
  return ATTACKS.some((attack) => attack === name)
}

const FRAMES_PER_RECORD = 4_000
const MESSAGE_BYTES = 1_024
const UNBOUNDED = 0x7fff_ffff
/** The stream of those that have one. */
const STREAM = 1

/** Until the connection ends; an attack that is over with its first bytes waits for that. */
export async function attack(peer: HostilePeer, what: Attack): Promise<void> {
  switch (what) {
    case 'silent':
      break
    case 'garbage':
      await peer.write(Buffer.alloc(60_000, 7))
      break
    case 'replay': {
      const record = peer.record(frameOf(FRAME.windowUpdate, FLAG.syn, STREAM, 0))
      await peer.write(Buffer.concat([record, record]))
      break
    }
    case 'oversized':
      await peer.send(frameOf(FRAME.data, FLAG.syn, STREAM, 0xffff_ffff))
      break
    case 'window':
      await overrun(peer)
      break
    case 'pings':
      return await flood(peer, (target, at) => writeHeader(target, at, FRAME.ping, FLAG.syn, 0, at))
    case 'streams':
      return await flood(peer, (target, at, id) => writeHeader(target, at, FRAME.windowUpdate, FLAG.syn, id, 0))
    case 'resets':
      return await flood(peer, (target, at, id) => {
        const middle = writeHeader(target, at, FRAME.windowUpdate, FLAG.syn, id, 0)
        return writeHeader(target, middle, FRAME.windowUpdate, FLAG.rst, id, 0)
      })
    case 'crumbs':
      return await crumble(peer)
    case 'deaf':
      await peer.stopReading()
      await open(peer, 'pour')
      await peer.send(frameOf(FRAME.windowUpdate, 0, STREAM, UNBOUNDED))
  }
  await peer.ended
}

async function overrun(peer: HostilePeer): Promise<void> {
  const pieceBytes = 32_768
  const piece = Buffer.concat([frameOf(FRAME.data, 0, STREAM, pieceBytes), Buffer.alloc(pieceBytes)])
  await peer.send(frameOf(FRAME.windowUpdate, FLAG.syn, STREAM, 0))
  for (let sent = 0; sent <= INITIAL_WINDOW_BYTES; sent += pieceBytes) await peer.send(piece)
}

/** `write`: frames of the stream `id` into a record; where they end. */
async function flood(peer: HostilePeer, write: (target: Buffer, at: number, id: number) => number): Promise<void> {
  const frames = Buffer.allocUnsafe(FRAMES_PER_RECORD * HEADER_BYTES)
  for (let id = 1; !peer.isOver;) {
    for (let at = 0; at < frames.byteLength; id += 2) at = write(frames, at, id)
    await peer.send(frames)
  }
}

/** What should be sent, but for the size of its frames: nothing is broken, so nobody is cut. */
async function crumble(peer: HostilePeer): Promise<void> {
  await open(peer, 'send')
  const messages = Math.floor(FRAMES_PER_RECORD / MESSAGE_BYTES)
  for (let next = 0; !peer.isOver; next += messages) {
    const crumbs = Buffer.allocUnsafe(messages * MESSAGE_BYTES * (HEADER_BYTES + 1))
    let at = 0
    for (let i = 0; i < messages; i++)
      for (const byte of messageOf((next + i) % differentMessages(MESSAGE_BYTES), MESSAGE_BYTES)) {
        at = writeHeader(crumbs, at, FRAME.data, 0, STREAM, 1)
        crumbs[at++] = byte
      }
    await peer.windowFor(messages * MESSAGE_BYTES)
    await peer.send(crumbs)
  }
}

async function open(peer: HostilePeer, kind: 'send' | 'pour'): Promise<void> {
  const words = Buffer.concat([
    lineOf('/multistream/1.0.0'),
    lineOf('/nzcore-bench/1'),
    headerOf({ kind, count: UNBOUNDED, size: MESSAGE_BYTES }),
  ])
  await peer.send(Buffer.concat([frameOf(FRAME.data, FLAG.syn, STREAM, words.byteLength), words]))
  await peer.windowFor(words.byteLength)
}

function frameOf(type: number, flags: number, stream: number, length: number): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES)
  writeHeader(frame, 0, type, flags, stream, length)
  return frame
}

function lineOf(text: string): Buffer {
  return Buffer.from(`${String.fromCharCode(text.length + 1)}${text}\n`)
}
