/** Where the native muxer is looked for. */
import type { NativeMuxer } from './backend.ts'

/** Loaded only when it is asked for: it brings libp2p's classes with it. Whether it runs is its own probe's answer. */
export async function loadNativeMuxer(): Promise<NativeMuxer | null> {
  return (await import('../native-muxer/native-muxer.ts')).nativeMuxer
}
