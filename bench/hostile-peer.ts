/**
 * One connection of a hostile peer: it shakes hands as everybody does, then seals and sends what it likes, no faster than
 * its line. It opens what it is answered only to know how much it may send.
 */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { tcpSocketOf } from '../modules/network/native-muxer/tcp-socket.ts'
import { isNegotiating, negotiateAndSecure, noiseEncrypter } from '../modules/network/noise/encrypter.ts'
import { canBeTakenOver, takeOver } from '../modules/network/noise/take-over.ts'
import { silentLogger } from '../modules/network/silent-logger.ts'
import { CipherState } from '../protocols/noise/cipher-state.ts'
import { RecordReader } from '../protocols/noise/record.ts'
import { FRAME, INITIAL_WINDOW_BYTES, PROTOCOL } from '../protocols/yamux/constants.ts'
import { FrameReader } from '../protocols/yamux/frame-reader.ts'
import type { Socket } from 'node:net'
import type { Connection, MultiaddrConnection, StreamMuxerFactory, Upgrader } from '@libp2p/interface'
import type { TCPComponents } from '@libp2p/tcp'
import type { TakenOver } from '../modules/network/noise/take-over.ts'
import type { Line } from './line.ts'

const DIAL_TIMEOUT_MS = 30_000
const LENGTH_BYTES = 2

export class HostilePeer {
  /** Resolves when the connection is over, in whichever way. */
  readonly ended: Promise<void>
  readonly #socket: Socket
  readonly #sender: CipherState
  readonly #line: Line
  #windowBytes = INITIAL_WINDOW_BYTES
  #onWindow: () => void = () => undefined

  private constructor({ sender, receiver, sealed }: TakenOver, socket: Socket, line: Line) {
    this.#socket = socket
    this.#sender = new CipherState(sender.key, { count: sender.count })
    this.#line = line
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    socket.on('close', () => {
      resolve()
      this.#onWindow()
    })
    this.#read(new CipherState(receiver.key, { count: receiver.count }), sealed)
  }

  static async meet(address: string, line: Line): Promise<HostilePeer> {
    const { promise, resolve, reject } = Promise.withResolvers<HostilePeer>()
    const encrypter = noiseEncrypter()({
      privateKey: await generateKeyPair('Ed25519'),
      // Its name is what the other side agrees to.
      upgrader: { getStreamMuxers: () => new Map([[PROTOCOL, { protocol: PROTOCOL } as StreamMuxerFactory]]) },
    })
    if (!isNegotiating(encrypter)) throw new TypeError('the encrypter is not the one of this project')
    const signal = AbortSignal.timeout(DIAL_TIMEOUT_MS)
    const upgrader = {
      async upgradeOutbound(connection: MultiaddrConnection): Promise<Connection> {
        const { connection: secured } = await encrypter[negotiateAndSecure]('initiator', connection, { signal })
        const socket = tcpSocketOf(connection)?.socket
        const taken = canBeTakenOver(secured) ? secured[takeOver]() : null
        if (socket === undefined || taken === null) throw new Error('the connection cannot be taken over')
        socket.removeAllListeners()
        resolve(new HostilePeer(taken, socket, line))
        // Nobody asks the transport for a connection: it was only to dial.
        return {} as Connection
      },
    } as unknown as Upgrader
    const transport = tcp()({ logger: silentLogger } as TCPComponents)
    transport.dial(multiaddr(address), { signal, upgrader }).catch(reject)
    return await promise
  }

  get isOver(): boolean {
    return this.#socket.destroyed
  }

  /** For good. */
  async stopReading(): Promise<void> {
    // Whose listeners have changed is resumed by Node itself, a tick later.
    await setImmediate()
    this.#socket.removeAllListeners('data')
    this.#socket.pause()
  }

  /** One record, with its length; its nonce is used up. */
  record(plaintext: Uint8Array): Buffer {
    const sealed = this.#sender.seal(plaintext)
    const record = Buffer.allocUnsafe(LENGTH_BYTES + sealed.byteLength)
    record.writeUInt16BE(sealed.byteLength)
    record.set(sealed, LENGTH_BYTES)
    return record
  }

  async send(plaintext: Uint8Array): Promise<void> {
    await this.write(this.record(plaintext))
  }

  /** Resolves when the line and the socket have room for more, or when the connection is over. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#line.room(bytes.byteLength)
    if (this.isOver || this.#socket.write(bytes)) return
    await Promise.race([once(this.#socket, 'drain').catch(() => undefined), this.ended])
  }

  /** Waits until the other side has given room for `byteLength` more on its first stream, and uses it up. */
  async windowFor(byteLength: number): Promise<void> {
    while (this.#windowBytes < byteLength && !this.isOver) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#onWindow = resolve
      await promise
    }
    this.#windowBytes -= byteLength
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(receiver: CipherState, early: Uint8Array): void {
    const records = new RecordReader()
    const frames = new FrameReader({
      onFrame: (type, _flags, stream, length) => {
        if (type !== FRAME.windowUpdate || stream !== 1) return
        this.#windowBytes += length
        this.#onWindow()
      },
      onPayload: () => undefined,
    })
    const onBytes = (bytes: Uint8Array): void => {
      records.push(bytes)
      for (let record = records.next(); record !== null; record = records.next()) frames.push(receiver.open(record))
    }
    this.#socket.on('error', () => undefined)
    this.#socket.on('data', (bytes: Buffer) => {
      try {
        onBytes(bytes)
      } catch {
        // What it is told last may be said in plain text; it does not care.
        this.#socket.destroy()
      }
    })
    if (early.byteLength > 0) onBytes(early)
    this.#socket.resume()
  }
}
