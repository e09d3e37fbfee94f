/** Where the native muxer is looked for. */
import type { NativeMuxer } from './backend.ts'

/** `null` where this version of nzcore has none. */
export async function loadNativeMuxer(): Promise<NativeMuxer | null> {
  return null
}
