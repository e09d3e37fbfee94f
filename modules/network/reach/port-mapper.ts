/** Asking a router for a port: what PCP, NAT-PMP and UPnP have in common, and the two that speak in single datagrams. */
import { askAddress, askTcpMapping, decodeAnswer, GATEWAY_PORT } from '../../../protocols/portmapping/nat-pmp.ts'
import { decodeMapAnswer, encodeMap, NONCE_BYTES, UNSUPPORTED_VERSION } from '../../../protocols/portmapping/pcp.ts'
import { askGateway } from './gateway.ts'
import type { Clock, Random } from '../../../kernel/index.ts'
import type { MappingProtocol } from './mapping-protocols.ts'
import type { Answer } from '../../../protocols/portmapping/nat-pmp.ts'

export interface MapRequest {
  /** IPv4 address of the router. */
  readonly gateway: string
  readonly gatewayPort?: number
  /** Of this machine, as the router sees it. */
  readonly clientAddress: string
  readonly port: number
  /** A wish; the router may give another. */
  readonly outsidePort: number
  readonly lifetimeS: number
}

export type MapOutcome =
  | {
      readonly state: 'mapped'
      readonly outsideAddress: string
      readonly outsidePort: number
      readonly lifetimeS: number
    }
  /** `why` is the end of a sentence that begins with the router. */
  | { readonly state: 'refused'; readonly why: string }
  /** The router does not speak the protocol. */
  | { readonly state: 'absent' }

export interface PortMapper {
  readonly protocol: MappingProtocol
  /** As it is called in a sentence. */
  readonly name: string
  /** Gets the port, or renews it. */
  map(request: MapRequest, signal: AbortSignal): Promise<MapOutcome>
  /** Gives back what `map` got. */
  unmap(request: MapRequest, signal: AbortSignal): Promise<void>
}

/** RFC 6887 §8.1.1 has longer waits; a router without PCP must not keep the next protocol waiting. */
const PCP_TRIES = 3
const NAT_PMP_TRIES = 5

export function pcpMapper({ clock, random }: { readonly clock: Clock; readonly random: Random }): PortMapper {
  // The same for all that is asked: it shows the router whose mapping it is (§11.2).
  const nonce = random.bytes(NONCE_BYTES)
  const ask = async (request: MapRequest, signal: AbortSignal) =>
    await askGateway(
      {
        gateway: request.gateway,
        port: request.gatewayPort ?? GATEWAY_PORT,
        tries: PCP_TRIES,
        question: encodeMap({ ...request, insidePort: request.port, nonce }),
        decode: (bytes) => decodeMapAnswer(bytes, nonce),
      },
      { clock, signal },
    )
  return {
    protocol: 'pcp',
    name: 'PCP',
    async map(request, signal) {
      const answer = await ask(request, signal)
      if (answer === null || (answer.type === 'refusal' && answer.result === UNSUPPORTED_VERSION))
        return { state: 'absent' }
      if (answer.type === 'refusal') return { state: 'refused', why: `gives no port by PCP: result ${answer.result}` }
      const { outsideAddress, outsidePort, lifetimeS, insidePort } = answer
      if (insidePort !== request.port || outsidePort === 0) return { state: 'refused', why: 'answers for another port' }
      return { state: 'mapped', outsideAddress, outsidePort, lifetimeS }
    },
    async unmap(request, signal) {
      await ask({ ...request, lifetimeS: 0 }, signal)
    },
  }
}

export function natPmpMapper({ clock }: { readonly clock: Clock }): PortMapper {
  const ask = async (
    { gateway, gatewayPort: port = GATEWAY_PORT }: MapRequest,
    question: Uint8Array,
    signal: AbortSignal,
  ): Promise<Answer | null> => {
    const asked = question[1] === 0 ? 'address' : 'mapping'
    const decode = (bytes: Uint8Array): Answer | null => {
      const answer = decodeAnswer(bytes)
      const about = answer?.type === 'refusal' ? answer.asked : answer?.type
      return about === asked ? answer : null
    }
    return await askGateway({ gateway, port, question, tries: NAT_PMP_TRIES, decode }, { clock, signal })
  }
  return {
    protocol: 'nat-pmp',
    name: 'NAT-PMP',
    async map(request, signal) {
      const outside = await ask(request, askAddress(), signal)
      if (outside === null) return { state: 'absent' }
      if (outside.type !== 'address') return { state: 'refused', why: 'tells no outside address' }
      const { port, outsidePort, lifetimeS } = request
      const answer = await ask(request, askTcpMapping(port, outsidePort, lifetimeS), signal)
      if (answer?.type !== 'mapping' || answer.insidePort !== port) {
        const result = answer?.type === 'refusal' ? `result ${answer.result}` : 'no answer'
        return { state: 'refused', why: `gives no port by NAT-PMP: ${result}` }
      }
      return {
        state: 'mapped',
        outsideAddress: outside.address,
        outsidePort: answer.outsidePort,
        lifetimeS: answer.lifetimeS,
      }
    },
    async unmap(request, signal) {
      await ask(request, askTcpMapping(request.port, 0, 0), signal)
    },
  }
}
