/**
 * Access tokens: EdDSA JWTs (RFC 7519, RFC 8037) that name a record of this node. A token is good only while its record
 * is there, not revoked and not expired; the key is derived from the identity and stored nowhere.
 */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type * as Jose from 'jose'
import { z } from 'zod'
import type { Clock, Health, Random } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import type { Caller } from '../../protocols/ipc/endpoint.ts'
import type { IdentityService } from '../identity/service.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'

/** Records kept, usable or not; expired ones make room. */
export const MAX_TOKENS = 256
/** Verified tokens that are recognised without verifying their signature again. */
export const MAX_RECALLED_TOKENS = 256
export const MAX_TOKEN_CHARS = 4_096

const NAMESPACE = 'ipc/tokens'
const OLDER_FILE = 'api-tokens.json'
const AUDIENCE = 'nzcore-local-api'

const TokenRecord = z.strictObject({
  id: z.string(),
  name: z.string(),
  capabilities: z.array(z.string()),
  createdAtMs: z.number(),
  expiresAtMs: z.number(),
  revokedAtMs: z.number().nullable(),
})
export type TokenRecord = z.infer<typeof TokenRecord>

const TokenFile = z.strictObject({ version: z.literal(1), tokens: z.array(TokenRecord).max(MAX_TOKENS) })

export interface TokenStoreInit {
  readonly storage: Pick<StorageService, 'map'>
  readonly identity: IdentityService
  readonly clock: Clock
  readonly random: Random
  /** Told after a token was revoked. */
  readonly onRevoked: (id: string) => void
}

export class TokenStore {
  readonly #init: TokenStoreInit
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  readonly #stored: StoredMap<TokenRecord>
  /** SHA-256 of a verified token → id of its record, oldest first. */
  readonly #recalled = new Map<string, string>()
  /** The latest time seen, so that a clock that is set back revives nothing in this process. */
  #latestMs = 0

  constructor(init: TokenStoreInit) {
    this.#init = init
    this.#stored = init.storage.map(NAMESPACE, {
      schema: TokenRecord,
      older: { file: OLDER_FILE, records: (bytes) => parseFile(bytes).map((record) => [record.id, record]) },
    })
    this.#privateKey = signingKey(init.identity)
    this.#publicKey = createPublicKey(this.#privateKey)
  }

  /** @throws NZ_IPC_TOKENS_DAMAGED, NZ_HOME_UNREADABLE, NZ_HOME_MODE for the file of an older version */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  health(): Health {
    return this.#stored.health('no access token is good until then')
  }

  /** @throws NZ_IPC_TOKEN_NAME_TAKEN, NZ_IPC_TOO_MANY_TOKENS, NZ_STORAGE_READ_ONLY */
  async create(init: {
    readonly name: string
    readonly capabilities: readonly string[]
    readonly lifetimeMs: number
  }): Promise<TokenRecord & { readonly token: string }> {
    // Durable first, in force then: a record that might be lost again must not be handed out.
    const record = await this.#stored.change((records) => {
      const nowMs = this.#nowMs()
      const over = [...records.values()].filter(({ expiresAtMs }) => expiresAtMs <= nowMs).map(({ id }) => id)
      if ([...records.values()].some((one) => one.name === init.name && this.isUsable(one))) {
        throw ipcErrors.NZ_IPC_TOKEN_NAME_TAKEN({ data: { name: init.name } })
      }
      if (records.size - over.length >= MAX_TOKENS) {
        throw ipcErrors.NZ_IPC_TOO_MANY_TOKENS({ data: { limit: MAX_TOKENS } })
      }
      const created: TokenRecord = {
        id: Buffer.from(this.#init.random.bytes(12)).toString('hex'),
        name: init.name,
        capabilities: [...new Set(init.capabilities)],
        createdAtMs: nowMs,
        expiresAtMs: nowMs + init.lifetimeMs,
        revokedAtMs: null,
      }
      return { put: [[created.id, created]], remove: over, result: created }
    })
    return { ...record, token: await this.#sign(record) }
  }

  /** Oldest first. @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  list(): readonly TokenRecord[] {
    return [...this.#stored.values.values()].toSorted((a, b) => a.createdAtMs - b.createdAtMs)
  }

  isUsable({ revokedAtMs, expiresAtMs }: TokenRecord): boolean {
    return revokedAtMs === null && this.#nowMs() < expiresAtMs
  }

  /** Revokes by id or name; once more is no error, and writes it down again. @throws NZ_IPC_TOKEN_NOT_FOUND, NZ_STORAGE_READ_ONLY */
  async revoke(reference: string): Promise<TokenRecord> {
    const record =
      this.#stored.values.get(reference) ??
      this.list().find((each) => each.name === reference && this.isUsable(each)) ??
      this.list().find(({ name }) => name === reference)
    if (record === undefined) throw ipcErrors.NZ_IPC_TOKEN_NOT_FOUND({ data: { token: reference } })
    const revoked = { ...record, revokedAtMs: record.revokedAtMs ?? this.#nowMs() }
    // In force at once, even when the disk is full; the caller then learns that it may not last, and tries again.
    const isDurable = this.#stored.force({ put: [[record.id, revoked]] })
    this.#init.onRevoked(record.id)
    await isDurable
    return revoked
  }

  /** The caller behind a token that was verified before; `null` when it must be verified, or is no longer good. */
  recall(token: string): Caller | null {
    const id = this.#recalled.get(digest(token))
    return id === undefined ? null : this.#callerOf(id)
  }

  /** The caller behind `token`; `null` when the token is not good for any reason. Never throws for bad text. */
  async verify(token: string): Promise<Caller | null> {
    if (token.length > MAX_TOKEN_CHARS) return null
    const { jwtVerify } = await jose()
    let id: string | undefined
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        algorithms: ['EdDSA'],
        issuer: this.#init.identity.self.peerId,
        audience: AUDIENCE,
        currentDate: new Date(this.#nowMs()),
        requiredClaims: ['jti', 'exp'],
      })
      id = payload.jti
    } catch {
      // What is wrong with it is for nobody to know.
      return null
    }
    const caller = this.#callerOf(id ?? '')
    if (caller !== null) this.#remember(digest(token), caller.id)
    return caller
  }

  #callerOf(id: string): Caller | null {
    const record = this.#stored.trouble === null ? this.#stored.values.get(id) : undefined
    if (record === undefined || !this.isUsable(record)) return null
    return { id, capabilities: record.capabilities, expiresAtMs: record.expiresAtMs }
  }

  #remember(key: string, id: string): void {
    this.#recalled.set(key, id)
    const [oldest] = this.#recalled.keys()
    if (this.#recalled.size > MAX_RECALLED_TOKENS && oldest !== undefined) this.#recalled.delete(oldest)
  }

  async #sign({ id, expiresAtMs, createdAtMs }: TokenRecord): Promise<string> {
    const { SignJWT } = await jose()
    return await new SignJWT()
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
      .setIssuer(this.#init.identity.self.peerId)
      .setAudience(AUDIENCE)
      .setJti(id)
      .setIssuedAt(Math.floor(createdAtMs / 1_000))
      .setExpirationTime(Math.ceil(expiresAtMs / 1_000))
      .sign(this.#privateKey)
  }

  #nowMs(): number {
    this.#latestMs = Math.max(this.#latestMs, this.#init.clock.nowMs())
    return this.#latestMs
  }
}

/** Loaded with the first token: most nodes have none. */
async function jose(): Promise<typeof Jose> {
  return await import('jose')
}

/** The tokens of version 0.1.0. A damaged list is never taken for an empty one: a revocation might be what was lost. */
function parseFile(bytes: Uint8Array): readonly TokenRecord[] {
  try {
    return TokenFile.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))).tokens
  } catch (cause) {
    throw ipcErrors.NZ_IPC_TOKENS_DAMAGED({ cause, data: { file: OLDER_FILE } })
  }
}

/** PKCS#8 of an Ed25519 key (RFC 8410) up to its 32-byte seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

function signingKey(identity: IdentityService): KeyObject {
  const seed = identity.deriveKey('nzcore/api-token/1')
  const der = Buffer.concat([PKCS8_PREFIX, seed])
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  } finally {
    seed.fill(0)
    der.fill(0)
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64')
}
