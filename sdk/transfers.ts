/** Sending and receiving: what a program gives or takes, as bytes, with the receipt at the end. */
import { resolve } from 'node:path'
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { giveSource } from './give-source.ts'
import type { transfersContract } from '../protocols/ipc/contract/transfers.ts'
import type { Duplex, ResultOf } from '../protocols/ipc/endpoint.ts'
import type { NzClient } from './client.ts'

type Told = ResultOf<(typeof transfersContract)['transfersSend']>

/** How a transfer stands; `receipt` is there once the receiver has signed for everything. */
export type Transfer = Told['transfer']

/** A path on the node's machine, or the bytes themselves; an iterable is asked for more only when there is room. */
export type SendSource = string | Uint8Array | AsyncIterable<Uint8Array>

export interface SendOptions {
  /** Cancels the transfer. */
  readonly signal?: AbortSignal
  /** How long to wait for the peer to come back after a cut, in milliseconds. @default 300_000 */
  readonly timeoutMs?: number
  /** Told at most a few times a second. */
  readonly onProgress?: (transfer: Transfer) => void
}

export interface ReceiveOptions {
  readonly signal?: AbortSignal
  /** Name, id or peer id: only from this contact. */
  readonly from?: string
}

/** A failure to read the source cancels the transfer. @throws what the transfer failed with, or what `source` threw */
export async function sendOver(
  api: NzClient,
  target: { readonly peer: string; readonly name: string },
  source: SendSource,
  { signal, timeoutMs, onProgress }: SendOptions,
): Promise<Transfer> {
  const params = { ...target, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  const options = signal === undefined ? {} : { signal }
  let last: Transfer | null = null
  const tell = ({ transfer }: Told): void => {
    last = transfer
    onProgress?.(transfer)
  }
  if (typeof source === 'string') {
    for await (const told of api.transfersSendFile({ ...params, path: resolve(source) }, options)) tell(told)
  } else {
    const duplex = await api.transfersSend(params, options)
    const given = giveSource(duplex, source instanceof Uint8Array ? [source] : source)
    try {
      for (let item = await duplex.read(); item !== null; item = await duplex.read())
        if ('message' in item) tell(item.message)
    } catch (error) {
      throw given.failure === null ? error : given.failure.reason
    }
  }
  return last ?? missing()
}

/** One transfer on its way here. Iterate it once; bytes count as received when the next ones are asked for. */
export class Receiving implements AsyncIterable<Uint8Array> {
  readonly #duplex: Duplex<unknown, Told>
  #transfer: Transfer

  constructor(duplex: Duplex<unknown, Told>, transfer: Transfer) {
    this.#duplex = duplex
    this.#transfer = transfer
  }

  /** How it stands: from whom, and after the iteration with sha256 and receipt. */
  get transfer(): Transfer {
    return this.#transfer
  }

  /** Leaving the loop early refuses the rest; the sender is told. @throws what the transfer failed with */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    let taken = 0
    let isOver = false
    try {
      for (let item = await this.#duplex.read(); item !== null; item = await this.#duplex.read()) {
        if ('message' in item) this.#transfer = item.message.transfer
        else {
          yield item.bytes
          taken += item.bytes.byteLength
          await this.#duplex.send({ taken })
        }
      }
      await this.#duplex.end()
      isOver = true
    } finally {
      if (!isOver) this.#duplex.fail(new DOMException('the receiver left', 'AbortError'))
    }
  }
}

export async function receiveOver(api: NzClient, name: string, { signal, from }: ReceiveOptions): Promise<Receiving> {
  const params = { name, ...(from === undefined ? {} : { from }) }
  const duplex = await api.transfersListen(params, signal === undefined ? {} : { signal })
  const first = await duplex.read()
  if (first === null || !('message' in first)) return missing()
  return new Receiving(duplex, first.message.transfer)
}

function missing(): never {
  throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'the node said nothing of the transfer' })
}
