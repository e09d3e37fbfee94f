/** The words in shares: any that are enough give them back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../kernel/index.ts'
import { combineShares, splitWords } from '../../modules/backup/shares.ts'
import { decodeShare } from '../../protocols/backup/share.ts'

const BECH32_CHARACTERS = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'.split('')

describe('shares of the words', () => {
  const entropy = seededRandom(3).bytes(32)
  const nodePublicKey = seededRandom(4).bytes(32)
  const publicKeyOf = async (secret: Uint8Array): Promise<Uint8Array> =>
    await Promise.resolve(Buffer.compare(secret, entropy) === 0 ? nodePublicKey : secret)

  it('give them back from any that are enough, in any order, and tell nothing from fewer', async () => {
    const shares = await splitWords({ entropy, nodePublicKey, count: 5, threshold: 3 })
    for (const [a, b, c] of [
      [0, 1, 2],
      [4, 2, 0],
      [3, 4, 1],
    ] as const) {
      const some = [shares[a] ?? '', `  ${shares[b] ?? ''}\n`, shares[c] ?? '', shares[a] ?? '']
      assert.deepEqual(await combineShares(some, publicKeyOf), entropy)
    }
    const few = combineShares([shares[0] ?? '', shares[1] ?? '', shares[0] ?? ''], publicKeyOf)
    await assert.rejects(few, { code: 'NZ_BACKUP_SHARES_FEW', data: { given: 2, needed: 3 } })
    await assert.rejects(combineShares([], publicKeyOf), { code: 'NZ_BACKUP_SHARES_FEW' })
    await assert.rejects(splitWords({ entropy, nodePublicKey, count: 2, threshold: 3 }), RangeError)
    await assert.rejects(splitWords({ entropy, nodePublicKey, count: 256, threshold: 3 }), RangeError)
    assert.equal((await splitWords({ entropy, nodePublicKey, count: 255, threshold: 2 })).length, 255)
  })

  it('of two splits are not put together', async () => {
    const [one, other] = await Promise.all([
      splitWords({ entropy, nodePublicKey, count: 3, threshold: 2 }),
      splitWords({ entropy, nodePublicKey, count: 3, threshold: 2 }),
    ])
    await assert.rejects(combineShares([one[0] ?? '', other[1] ?? ''], publicKeyOf), { code: 'NZ_BACKUP_SHARES_MIXED' })
    const foreign = combineShares(one, async () => await Promise.resolve(new Uint8Array(32)))
    await assert.rejects(foreign, { code: 'NZ_BACKUP_SHARES_MIXED' })
  })

  it('are known as damaged when a character is wrong, missing or swapped', async () => {
    const [share = ''] = await splitWords({ entropy, nodePublicKey, count: 3, threshold: 2 })
    assert.ok(share.length <= 90 && share.startsWith('nzshare1'))
    assert.deepEqual([decodeShare(share).number, decodeShare(share.toUpperCase()).count], [1, 3])
    fc.assert(
      fc.property(fc.nat(share.length - 1), fc.constantFrom(...BECH32_CHARACTERS), (at, character) => {
        if (share[at] === character) return
        const changed = share.slice(0, at) + character + share.slice(at + 1)
        assert.throws(() => decodeShare(changed), { code: 'NZ_BACKUP_SHARE_INVALID' })
        assert.throws(() => decodeShare(share.slice(0, at)), { code: 'NZ_BACKUP_SHARE_INVALID' })
      }),
    )
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        assert.throws(() => decodeShare(text))
      }),
    )
  })
})
