/** What is sealed under the keys of a store, by purpose. spec/NZ-STORAGE-01.md §3. */
import { sealWith, unsealWith } from '../../protocols/sealed/sealed.ts'
import type { SealedHeader, Unsealed } from '../../protocols/sealed/sealed.ts'
import type { SealPurpose, StoreKeys } from './keys.ts'

export {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  MAX_COUNTER,
  SEAL_OVERHEAD_BYTES,
  SealCounter,
} from '../../protocols/sealed/sealed.ts'

/** Header, ciphertext, tag. A header may be sealed under once. */
export function seal(
  keys: StoreKeys,
  purpose: SealPurpose,
  header: SealedHeader,
  content: { readonly place: Uint8Array; readonly plaintext: Uint8Array },
): Uint8Array {
  return sealWith(({ generation, salt }) => keys.sealing(purpose, generation, salt), header, content)
}

/** `null` when `sealed` was not sealed by these keys for this place. Never throws for bad bytes. */
export function unseal(keys: StoreKeys, purpose: SealPurpose, sealed: Uint8Array, place: Uint8Array): Unsealed | null {
  return unsealWith(({ generation, salt }) => keys.sealing(purpose, generation, salt), sealed, place)
}
