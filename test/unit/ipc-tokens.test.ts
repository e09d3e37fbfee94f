import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom, SimulatedClock } from '../../kernel/index.ts'
import { FIRST_DELAY_MS, FREE_ATTEMPTS, LoginLimit, MAX_LIMITED_ADDRESSES } from '../../modules/ipc/login-limit.ts'
import { MAX_TOKENS, TokenStore } from '../../modules/ipc/tokens.ts'
import { memoryHome } from '../fake/home.ts'
import type { Clock } from '../../kernel/index.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { diskOf, openStore } from '../fake/storage.ts'

function clockAt(startMs: number) {
  return {
    ms: startMs,
    nowMs() {
      return this.ms
    },
    monotonicMs() {
      return this.ms
    },
    setTimer: () => ({ cancel() {} }),
  }
}

async function store<C extends Clock>(files: Map<string, Uint8Array>, clock: C, seed = 1) {
  const revoked: string[] = []
  const disk = diskOf(files)
  const storage = await openStore({ disk, home: memoryHome(files), clock, seed })
  const init = { storage, identity: fakeIdentity(seed), clock, random: seededRandom(disk.engine.records.size + seed) }
  const tokens = new TokenStore({ ...init, onRevoked: (id) => void revoked.push(id) })
  await tokens.load()
  return { tokens, files, clock, revoked, disk, storage }
}

const hour = { capabilities: ['node.read'], lifetimeMs: 3_600_000 }

describe('access tokens', () => {
  it('are good until they expire, also after a restart', async () => {
    const { tokens, files, clock } = await store(new Map(), clockAt(1_800_000_000_000))
    const { token, id } = await tokens.create({ name: 'web', ...hour })
    const caller = { id, capabilities: ['node.read'], expiresAtMs: clock.ms + 3_600_000 }
    assert.equal(tokens.recall(token), null)
    assert.deepEqual(await tokens.verify(token), caller)
    assert.deepEqual(tokens.recall(token), caller)
    const again = await store(files, clock)
    assert.deepEqual(await again.tokens.verify(token), caller)
    clock.ms += 3_600_000
    assert.equal(await tokens.verify(token), null)
    assert.equal(tokens.recall(token), null)
    clock.ms -= 3_600_000
    assert.equal(await tokens.verify(token), null, 'a clock set back revives nothing')
  })

  it('are void once revoked, for good', async () => {
    const { tokens, files, clock, revoked } = await store(new Map(), clockAt(1_800_000_000_000))
    const { token, id } = await tokens.create({ name: 'web', ...hour })
    assert.ok(await tokens.verify(token))
    await tokens.revoke('web')
    assert.deepEqual(revoked, [id])
    assert.equal(await tokens.verify(token), null)
    assert.equal(tokens.recall(token), null)
    assert.equal(await (await store(files, clock)).tokens.verify(token), null)
    await assert.rejects(tokens.revoke('nobody'), { code: 'NZ_IPC_TOKEN_NOT_FOUND' })
  })

  it('made or revoked at the same time are all written down', async () => {
    const { tokens, files, clock } = await store(new Map(), clockAt(1_800_000_000_000))
    const old = await tokens.create({ name: 'old', ...hour })
    const [web, phone] = await Promise.all([
      tokens.create({ name: 'web', ...hour }),
      tokens.create({ name: 'phone', ...hour }),
      tokens.revoke('old'),
    ])
    const again = await store(files, clock)
    assert.ok(await again.tokens.verify(web.token))
    assert.ok(await again.tokens.verify(phone.token))
    assert.equal(await again.tokens.verify(old.token), null)
    const twice = await Promise.allSettled([1, 2].map(async () => await tokens.create({ name: 'twice', ...hour })))
    assert.deepEqual(twice.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  })

  it('whose revocation could not be written are void, and are written down when the disk takes changes again', async () => {
    const clock = new SimulatedClock()
    const { tokens, files, disk } = await store(new Map(), clock)
    const { token } = await tokens.create({ name: 'web', ...hour })
    disk.engine.isFull = true
    await assert.rejects(tokens.revoke('web'), { code: 'NZ_STORAGE_READ_ONLY' })
    assert.equal(await tokens.verify(token), null)
    disk.engine.isFull = false
    await clock.advance(1_000)
    assert.equal(await (await store(files, clock)).tokens.verify(token), null)
  })

  it('of another node, altered, unsigned or signed otherwise are not good', async () => {
    const { tokens, clock } = await store(new Map(), clockAt(1_800_000_000_000))
    const { token } = await tokens.create({ name: 'web', ...hour })
    const other = await store(new Map(), clock, 2)
    assert.equal(await other.tokens.verify(token), null)
    const [head = '', body = '', signature = ''] = token.split('.')
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as object
    for (const bad of [
      `${encode({ alg: 'none' })}.${body}.`,
      `${encode({ alg: 'HS256' })}.${body}.${signature}`,
      `${head}.${encode({ ...claims, exp: 9_999_999_999 })}.${signature}`,
      `${head}.${body}.${signature.slice(0, -4)}AAAA`,
      `${head}.${body}`,
      '',
      '..',
      'a'.repeat(100_000),
    ]) {
      assert.equal(await tokens.verify(bad), null, bad.slice(0, 80))
    }
  })

  it('are kept up to a bound; expired ones make room; names are used once at a time', async () => {
    const { tokens, clock } = await store(new Map(), clockAt(1_800_000_000_000))
    for (let n = 0; n < MAX_TOKENS; n++) await tokens.create({ name: `t${n}`, ...hour })
    await assert.rejects(tokens.create({ name: 'one-more', ...hour }), { code: 'NZ_IPC_TOO_MANY_TOKENS' })
    await assert.rejects(tokens.create({ name: 't7', ...hour }), { code: 'NZ_IPC_TOKEN_NAME_TAKEN' })
    clock.ms += 3_600_001
    await tokens.create({ name: 't7', ...hour })
    assert.equal(tokens.list().length, 1)
  })

  it('never take a damaged list for an empty one', async () => {
    for (const text of ['', '{}', '{"version":1,"tokens":[{}]}', '\u00ff']) {
      const files = new Map([['api-tokens.json', new TextEncoder().encode(text)]])
      await assert.rejects(store(files, clockAt(0)), { code: 'NZ_IPC_TOKENS_DAMAGED', exit: 'damaged' })
    }
  })
})

describe('the login limit', () => {
  it('makes an address wait longer with every failure, and others not at all', () => {
    const clock = clockAt(0)
    const limit = new LoginLimit({ clock })
    for (let n = 1; n < FREE_ATTEMPTS; n++) limit.failed('a')
    limit.check('a')
    limit.failed('a')
    assert.throws(() => limit.check('a'), { code: 'NZ_IPC_LOGIN_LIMITED', data: { retryAfterMs: FIRST_DELAY_MS } })
    limit.check('b')
    clock.ms += FIRST_DELAY_MS
    limit.check('a')
    limit.failed('a')
    assert.throws(() => limit.check('a'), { data: { retryAfterMs: 2 * FIRST_DELAY_MS } })
    for (let n = 0; n < 20; n++) limit.failed('a')
    assert.throws(() => limit.check('a'), { data: { retryAfterMs: 60_000 } })
    limit.succeeded('a')
    limit.check('a')
  })

  it('remembers so many addresses and no more', () => {
    const limit = new LoginLimit({ clock: clockAt(0) })
    for (let n = 0; n < FREE_ATTEMPTS; n++) limit.failed('first')
    for (let n = 1; n < MAX_LIMITED_ADDRESSES; n++) limit.failed(`a${n}`)
    assert.throws(() => limit.check('first'))
    limit.failed('one more')
    limit.check('first')
  })
})
