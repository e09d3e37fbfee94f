/** Which stack new TCP connections get, and why: probed once, when the node starts or the doctor asks. */
import { loadNativeMuxer } from './muxer/native.ts'
import type { Backend, NativeChoice, NativeMuxer, NativeRefusal } from './muxer/backend.ts'

export interface BackendChoice {
  /** What the configuration asks for (`network.native`, NZ_NATIVE). */
  readonly asked: NativeChoice
  /** What new TCP connections get. WebSocket connections get `typescript`, or `libp2p` when that was asked for. */
  readonly backend: Backend
  /** Why the native session does not run; `null` when it does. */
  readonly code: NativeRefusal | null
  /** The same in words, also why it is not the fastest of them; `null` when there is nothing to say. */
  readonly reason: string | null
}

export interface ChosenBackend extends BackendChoice {
  /** There when `backend` is a native one. */
  readonly native: NativeMuxer | null
}

/** Of a network that does not run yet. */
export const NOT_STARTED: BackendChoice = {
  asked: 'auto',
  backend: 'typescript',
  code: null,
  reason: 'it has not started',
}

export async function chooseBackend(asked: NativeChoice): Promise<ChosenBackend> {
  const off = { asked, code: 'off', native: null } as const
  if (asked === 'stock') return { ...off, backend: 'libp2p', reason: 'stock libp2p was asked for' }
  if (asked === 'off') return { ...off, backend: 'typescript', reason: 'the native stack is switched off' }
  const native = await loadNativeMuxer()
  if (native === null) {
    return {
      asked,
      backend: 'typescript',
      code: 'platform',
      reason: 'this version of nzcore has no native stack',
      native,
    }
  }
  const probe = native.probe(asked)
  if (probe.supported) return { asked, backend: probe.backend, code: null, reason: probe.reason, native }
  return { asked, backend: 'typescript', code: probe.code, reason: probe.reason, native: null }
}
