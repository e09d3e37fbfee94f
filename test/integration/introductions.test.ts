/** Three daemons: one knows the two others and introduces them by the command line; they become contacts when both agree. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { until } from '../net/peer.ts'
import { Machine } from './story/machine.ts'

const NAMES = ['bob', 'ann', 'cid'] as const
const LISTEN = '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n'

interface Introduction {
  readonly id: string
  readonly state: string
  readonly isAcceptedThere: boolean
}

it('two peers become contacts by a third that both know, once both have agreed', { timeout: 240_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nz-introduced-'))
  const [bob, ann, cid] = await Promise.all(NAMES.map(async (name) => await Machine.create(join(folder, name), LISTEN)))
  if (bob === undefined || ann === undefined || cid === undefined) throw new Error('three machines were asked for')
  const asked = async (machine: Machine): Promise<readonly Introduction[]> =>
    (await machine.json('introductions'))['introductions'] as readonly Introduction[]
  const contacts = async (machine: Machine): Promise<readonly string[]> =>
    ((await machine.json('contacts'))['contacts'] as ReadonlyArray<{ peerId: string }>).map(({ peerId }) => peerId)
  try {
    await Promise.all([bob, ann, cid].map(async (machine) => await machine.json('up')))
    const [ofAnn, ofBob, ofCid] = await Promise.all(
      [ann, bob, cid].map(async (machine) => String((await machine.json('id'))['peerId'])),
    )
    for (const guest of [ann, cid]) {
      const { ticket } = await bob.json('invite', '--yes', '--no-wait')
      await guest.json('join', String(ticket), '--yes', '--as', 'bob')
    }
    const { id } = await bob.json('introductions', 'make', ofAnn ?? '', ofCid ?? '')
    for (const machine of [ann, cid])
      await until(
        async () => await asked(machine),
        (list) => list[0]?.id === id && list[0]?.state === 'pending',
      )
    await ann.json('introductions', 'accept', String(id))
    await until(
      async () => await asked(cid),
      ([first]) => first?.isAcceptedThere === true,
    )
    // One has agreed: that makes nobody a contact.
    assert.deepEqual([await contacts(ann), await contacts(cid)], [[ofBob], [ofBob]])
    await cid.json('introductions', 'accept', String(id))
    for (const [machine, other] of [
      [ann, ofCid],
      [cid, ofAnn],
    ] as const)
      await until(
        async () => await contacts(machine),
        (known) => known.includes(other ?? ''),
      )
    assert.equal((await ann.json('ping', ofCid ?? '', '-c', '1'))['received'], 1)
  } finally {
    await Promise.all([bob, ann, cid].map(async (machine) => await machine.run('down')))
    await rm(folder, { recursive: true, force: true })
  }
})
