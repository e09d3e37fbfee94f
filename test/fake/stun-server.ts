/** A STUN server with two addresses and two ports (RFC 5780 §6), which can be told to answer less. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import {
  addressValue,
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  TYPE,
  valueOf,
  xorAddressValue,
} from '../../protocols/stun/message.ts'
import type { Socket } from 'node:dgram'
import type { Endpoint } from '../../protocols/stun/message.ts'

export interface FakeStunServer extends AsyncDisposable {
  /** `127.0.0.1:3478` */
  readonly address: string
}

export interface FakeStunServerInit {
  readonly hosts: readonly [string, string]
  /** 0: any. */
  readonly ports?: readonly [number, number]
  /** Under which address a request is said to have arrived. */
  readonly seen?: (from: Endpoint, to: Endpoint) => Endpoint
  /** Whether an answer is let through from `by`, of requests sent to `to`. */
  readonly isLetIn?: (by: Endpoint, to: Endpoint) => boolean
  /** Whether it tells of its other address. */
  readonly hasOther?: boolean
}

export async function fakeStunServer(init: FakeStunServerInit): Promise<FakeStunServer> {
  const { hosts, ports: [wanted, wantedOther] = [0, 0], hasOther = true } = init
  const bound = async (host: string, port: number): Promise<Socket> => {
    const socket = createSocket('udp4')
    await once(socket.bind(port, host), 'listening')
    return socket
  }
  const near = [await bound(hosts[0], wanted), await bound(hosts[0], wantedOther)] as const
  const ports = [near[0].address().port, near[1].address().port] as const
  const far = [await bound(hosts[1], ports[0]), await bound(hosts[1], ports[1])] as const
  const sockets = [near, far] as const
  for (const [h, row] of sockets.entries())
    for (const [p, socket] of row.entries())
      socket.on('message', (bytes, { address, port }) => {
        const message = decodeStun(bytes)
        if (message?.type !== TYPE.request) return
        const flags = valueOf(message, ATTRIBUTE.changeRequest)?.[3] ?? 0
        const [byHost, byPort] = [(flags & 4) === 0 ? h : 1 - h, (flags & 2) === 0 ? p : 1 - p]
        const at = (host: number, side: number): Endpoint => ({ host: hosts[host] ?? '', port: ports[side] ?? 0 })
        const [to, by] = [at(h, p), at(byHost, byPort)]
        if (init.isLetIn?.(by, to) === false) return
        const { transaction } = message
        const seen = init.seen?.({ host: address, port }, to) ?? { host: address, port }
        const answer = encodeStun({
          type: TYPE.success,
          transaction,
          attributes: [
            { type: ATTRIBUTE.xorMappedAddress, value: xorAddressValue(seen, transaction) },
            { type: ATTRIBUTE.responseOrigin, value: addressValue(by) },
            ...(hasOther ? [{ type: ATTRIBUTE.otherAddress, value: addressValue(at(1 - h, 1 - p)) }] : []),
          ],
        })
        sockets[byHost]?.[byPort]?.send(answer, port, address)
      })
  return {
    address: `${hosts[0]}:${ports[0]}`,
    async [Symbol.asyncDispose]() {
      await Promise.all([...near, ...far].map(async (socket) => await new Promise<void>((done) => socket.close(done))))
    },
  }
}
