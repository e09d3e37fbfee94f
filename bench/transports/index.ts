/** The variants by name, loaded when they are measured. */
import type { Transport } from '../pipe.ts'

export const transports = {
  nzcore: async () => (await import('./nzcore.ts')).nzcore,
  'nzcore-batched': async () => (await import('./nzcore.ts')).nzcoreBatched,
  'nzcore-typescript': async () => (await import('./nzcore.ts')).nzcoreTypescript,
  'native-streams': async () => (await import('./libp2p.ts')).nativeStreams,
  'typescript-streams': async () => (await import('./libp2p.ts')).typescriptStreams,
  libp2p: async () => (await import('./libp2p.ts')).libp2p,
  'libp2p-as-node': async () => (await import('./libp2p.ts')).libp2p,
  'libp2p-identify': async () => (await import('./libp2p.ts')).libp2pIdentifying,
  'libp2p-batched': async () => (await import('./libp2p.ts')).libp2pBatched,
  'libp2p-lp': async () => (await import('./libp2p.ts')).libp2pLengthPrefixed,
  tcp: async () => (await import('./socket.ts')).tcpNaive,
  'tcp-corked': async () => (await import('./socket.ts')).tcpCorked,
  tls: async () => (await import('./socket.ts')).tls,
  'tls-batched': async () => (await import('./socket.ts')).tlsBatched,
  'tls-mutual': async () => (await import('./socket.ts')).tlsMutual,
} satisfies Readonly<Record<string, () => Promise<Transport>>>

export type TransportName = keyof typeof transports

export function isTransportName(name: string): name is TransportName {
  return Object.hasOwn(transports, name)
}
