/** The keys of stored files, all from one root by HKDF. spec/NZ-FILES-01.md §2. */
import { createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const SALT_BYTES = 32
export const NONCE_PREFIX_BYTES = 7

/** What one content is sealed with. */
export interface ContentKey {
  readonly key: KeyObject
  readonly noncePrefix: Uint8Array
}

export class FileKeys {
  readonly #root: KeyObject
  readonly #place: KeyObject

  /** `root` is 32 bytes and is copied; the caller zeroes its own. */
  constructor(root: Uint8Array) {
    this.#root = createSecretKey(root)
    const place = this.#derive('place', new Uint8Array(), 32)
    this.#place = createSecretKey(place)
    place.fill(0)
  }

  /** A salt is drawn for each content that is written and seals one content only. */
  content(salt: Uint8Array): ContentKey {
    const bytes = this.#derive('content', salt, 32 + NONCE_PREFIX_BYTES)
    const key = createSecretKey(bytes.subarray(0, 32))
    const noncePrefix = Uint8Array.from(bytes.subarray(32))
    bytes.fill(0)
    return { key, noncePrefix }
  }

  /** The name on the disk: 64 hex digits that tell nothing to who has no keys. */
  diskName(contentId: string, salt: Uint8Array): string {
    return createHmac('sha256', this.#place).update(salt).update(Buffer.from(contentId, 'hex')).digest('hex')
  }

  #derive(purpose: string, salt: Uint8Array, length: number): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.#root, salt, `nzcore/files/${purpose}/1`, length))
  }
}
