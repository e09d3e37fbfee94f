/**
 * Bad trust updates on the wire, from a peer that a real daemon trusts enough to listen to: each is refused with its own
 * code, counted where the owner sees it, and changes nothing (NZ-TRUST-01 §8).
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
// The codes of its errors: a peer that does not know them is told that the request failed.
import '../../modules/trust/service.ts'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { privateKeyObject } from '../../protocols/identity/raw-keys.ts'
import { signFor } from '../../protocols/identity/signature.ts'
import { trustCodes } from '../../protocols/trust/errors.ts'
import { MAX_REQUESTS } from '../../protocols/trust/exchange.ts'
import { decodeAnswer, encodeRequest, RECONCILE_METHOD } from '../../protocols/trust/reconcile-messages.ts'
import { createUpdate, keyOf, NO_PREVIOUS, UPDATE_PURPOSE } from '../../protocols/trust/update.ts'
import { freshKey, startNetworkNode } from '../fake/network-node.ts'
import { trusting } from '../fake/trust.ts'
import { lastDocument, Machine } from './story/machine.ts'
import { freePort } from './story/loopback-port.ts'
import type { SigningPurpose } from '../../protocols/identity/signature.ts'
import type { Statement, TrustUpdate } from '../../protocols/trust/update.ts'
import type { NetworkNode } from '../fake/network-node.ts'

interface Status {
  readonly root: string
  readonly updates: number
  readonly refused: Readonly<Record<string, number>>
}

describe('a daemon that is pushed bad trust updates', { timeout: 180_000 }, () => {
  const keys = { mallory: freshKey(), issuer: freshKey(), subject: freshKey() }
  const subject = keyOf(keys.subject.subarray(32))
  let folder = ''
  let desk: Machine
  let deskId = ''
  let mallory: NetworkNode

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nzt-'))
    const listen = `/ip4/127.0.0.1/tcp/${await freePort()}`
    desk = await Machine.create(join(folder, 'desk'), `[network]\nlisten = ["${listen}"]\n`)
    await desk.json('up')
    deskId = String((await desk.json('id'))['peerId'])
    await trust(keys.mallory, 'medium')
    // Whose updates Mallory carries: the daemon listens to that issuer.
    await trust(keys.issuer, 'high', '--vouch', '1')
    mallory = await startNetworkNode({ privateKey: keys.mallory })
    const signal = AbortSignal.timeout(60_000)
    await mallory.network.connect(deskId, { addresses: [`${listen}/p2p/${deskId}`], signal })
  })

  after(async () => {
    await mallory?.stop()
    await desk.run('down')
    await rm(folder, { recursive: true, force: true })
  })

  async function trust(key: Uint8Array, ...words: readonly string[]): Promise<void> {
    const { code, stderr } = await desk.run('trust', 'set', peerIdOf(key.subarray(32)), ...words)
    assert.equal(code, 0, stderr)
  }

  async function status(): Promise<Status> {
    const { code, stdout, stderr } = await desk.run('trust', 'status', '--json')
    assert.equal(code, 0, stderr)
    return lastDocument(stdout)['trust'] as Status
  }

  async function levelOfSubject(): Promise<string> {
    const { trust: explained } = (await desk.json('trust', 'explain', peerIdOf(keys.subject.subarray(32)))) as {
      trust: { level: string }
    }
    return explained.level
  }

  interface Signing {
    readonly key?: Uint8Array
    readonly purpose?: SigningPurpose
  }

  /** Named as an update of `issuer`; signed by `key` and for `purpose`, by default as it should be. */
  function updateOf(sequence: number, previous: string, statement: Statement, signing: Signing = {}): TrustUpdate {
    const { key = keys.issuer, purpose = UPDATE_PURPOSE } = signing
    const issuedS = Math.floor(Date.now() / 1_000)
    const issuer = keyOf(keys.issuer.subarray(32))
    const privateKey = privateKeyObject('ed25519', key.subarray(0, 32))
    return createUpdate({ issuer, sequence, previous, issuedS, statement }, (_, message) =>
      signFor(purpose, message, privateKey),
    )
  }

  async function ask(payload: Uint8Array): Promise<Uint8Array> {
    return await mallory.network.request(deskId, RECONCILE_METHOD, payload, { signal: AbortSignal.timeout(60_000) })
  }

  async function push(...updates: readonly Uint8Array[]): Promise<readonly (string | null)[]> {
    const answer = decodeAnswer(await ask(encodeRequest({ kind: 'push', updates })))
    return answer?.kind === 'pushed' ? answer.codes.map((code) => trustCodes[code] ?? null) : assert.fail()
  }

  it('refuses each of them with its own code, and counts it', async () => {
    const good = updateOf(1, NO_PREVIOUS, trusting(subject, 1))
    const next = updateOf(2, good.id, trusting(subject, 2))
    const early = updateOf(3, next.id, trusting(subject, 3))
    const expiresS = Math.floor(Date.now() / 1_000) - 60
    const expired = updateOf(4, early.id, trusting(subject, 4, { expiresS }))
    const forged = updateOf(2, good.id, trusting(subject, 4), { key: keys.mallory })
    const purpose = 'nzcore/other-update/1'
    const meantOtherwise = updateOf(2, good.id, trusting(subject, 4), { purpose })
    const asItWasMeant = Buffer.from(meantOtherwise.bytes)
    asItWasMeant.write(purpose, asItWasMeant.indexOf(UPDATE_PURPOSE))

    assert.deepEqual(await push(good.bytes), [null])
    const [before, level] = [await status(), await levelOfSubject()]
    const bad = [
      [forged.bytes, 'NZ_TRUST_FORGED'],
      [flipLast(next.bytes), 'NZ_TRUST_FORGED'],
      [meantOtherwise.bytes, 'NZ_TRUST_FORGED'],
      [asItWasMeant, 'NZ_TRUST_PURPOSE'],
      [good.bytes, 'NZ_TRUST_REPLAYED'],
      [early.bytes, 'NZ_TRUST_GAP'],
      [Buffer.from('no update'), 'NZ_TRUST_MALFORMED'],
    ] as const
    for (const [bytes, code] of bad) assert.deepEqual(await push(bytes), [code])
    const then = await status()
    assert.deepEqual([then.root, then.updates], [before.root, before.updates])
    assert.equal(await levelOfSubject(), level)
    assert.deepEqual(then.refused, {
      NZ_TRUST_FORGED: 3,
      NZ_TRUST_REPLAYED: 1,
      NZ_TRUST_PURPOSE: 1,
      NZ_TRUST_GAP: 1,
      NZ_TRUST_MALFORMED: 1,
    })

    // What came too early counts when what it waits for has come; what is over is a link of the chain and no more.
    assert.deepEqual(await push(next.bytes), [null])
    const trusted = await levelOfSubject()
    assert.deepEqual(await push(early.bytes, expired.bytes), ['NZ_TRUST_REPLAYED', 'NZ_TRUST_EXPIRED'])
    const last = await status()
    assert.equal(last.refused['NZ_TRUST_EXPIRED'], 1)
    assert.equal(last.refused['NZ_TRUST_REPLAYED'], 2)
    assert.equal(last.updates, before.updates + 3)
    assert.notEqual(trusted, 'UNKNOWN')
    assert.equal(await levelOfSubject(), 'UNKNOWN', 'the last word of the issuer is over')
    const { stdout } = await desk.run('trust', 'status')
    assert.match(stdout, /refused since the start: .*NZ_TRUST_EXPIRED 1/)
  })

  it('keeps two histories of one issuer as evidence, and none of what they say', async () => {
    const fork = updateOf(1, NO_PREVIOUS, trusting(subject, 4))
    assert.deepEqual(await push(fork.bytes), ['NZ_TRUST_FORKED'])
    assert.equal((await status()).refused['NZ_TRUST_FORKED'], 1)
    assert.equal(await levelOfSubject(), 'UNKNOWN')
  })

  it('refuses what is no request, more than it answers, and whom it does not trust enough', async () => {
    await assert.rejects(ask(Buffer.from('no request')), { code: 'NZ_TRUST_PROTOCOL' })
    const question = encodeRequest({ kind: 'compare', ranges: [{ from: '', to: '', print: '00'.repeat(16) }] })
    let answered = 0
    // A span of ten seconds may begin anew in between, once.
    const flood = async (): Promise<void> => {
      for (; answered <= 2 * MAX_REQUESTS; answered++) await ask(question)
    }
    await assert.rejects(flood(), { code: 'NZ_TRUST_BUSY' })
    await trust(keys.mallory, 'unknown')
    await assert.rejects(ask(question), { code: 'NZ_TRUST_NOT_ALLOWED' })
    const { refused } = await status()
    assert.deepEqual(
      ['PROTOCOL', 'BUSY', 'NOT_ALLOWED'].map((code) => refused[`NZ_TRUST_${code}`]),
      [1, 1, 1],
    )
  })
})

function flipLast(bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
  return changed
}
