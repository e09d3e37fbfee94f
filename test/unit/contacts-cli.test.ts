/** `nzcore invite`, `join`, `contacts` over the contract and the handlers, on two nodes of the in-memory mesh. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { Dispatcher } from '../../modules/ipc/dispatch.ts'
import { contactsHandlers } from '../../modules/ipc/handlers/contacts.ts'
import { createLocalClient } from '../../modules/ipc/local-client.ts'
import { contactsContract } from '../../protocols/ipc/contract/contacts.ts'
import { durationOf } from '../../cli/commands/contacts.ts'
import { runCli } from '../fake/cli.ts'
import { contactsNode } from '../fake/contacts-node.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { ContactsNode } from '../fake/contacts-node.ts'

const signal = AbortSignal.timeout(60_000)

function clientOf(node: ContactsNode) {
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const dispatcher = new Dispatcher({
    contract: contactsContract,
    handlers: contactsHandlers(node),
    clock: systemClock,
    log,
  })
  return createLocalClient(contactsContract, dispatcher, { signal })
}

async function twoClients() {
  const mesh = createFakeNetwork()
  const nodes = [
    await contactsNode(mesh, { seed: 1, name: 'desk' }),
    await contactsNode(mesh, { seed: 2, name: 'laptop' }),
  ] as const
  const [desk, laptop] = [clientOf(nodes[0]), clientOf(nodes[1])]
  return { desk, laptop, stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))) }
}

describe('nzcore invite and join', () => {
  it('introduce two nodes without a terminal when both say --yes', async () => {
    const { desk, laptop, stop } = await twoClients()
    const invited = await runCli(['invite', '--yes', '--json'], { client: desk })
    assert.equal(invited.code, 0, invited.stdout)
    const { schema, ticket, invite } = JSON.parse(invited.stdout) as {
      schema: string
      ticket: string
      invite: { inviteId: string }
    }
    assert.equal(schema, 'nz.invite/1')
    const joined = await runCli(['join', ticket, '--yes', '--as', 'office', '--json'], { client: laptop })
    assert.equal(joined.code, 0, joined.stdout)
    const { join } = JSON.parse(joined.stdout) as { join: { contactName: string; words: string[] } }
    assert.deepEqual([join.contactName, join.words.length], ['office', 4])
    for await (const change of desk.invitesWatch({ inviteId: invite.inviteId }, { signal })) {
      if (change.invite.state === 'joined') break
    }
    const listed = await runCli(['contacts'], { client: desk })
    assert.match(listed.stdout, /^NAME +ID +STATE +VERIFIED +SINCE\nlaptop +nz1\w+…\w+ +connected +invite +\ds\n$/)
    const again = await runCli(['join', ticket, '--yes', '--json'], { client: laptop })
    assert.equal(again.code, 7)
    assert.equal((JSON.parse(again.stdout) as { code: string }).code, 'NZ_INVITE_USED')
    await stop()
  })

  it('wait for the join when told to, and print it', async () => {
    const { desk, laptop, stop } = await twoClients()
    const waiting = runCli(['invite', '--yes', '--wait'], { client: desk })
    let ticketless = true
    while (ticketless) {
      await new Promise(setImmediate)
      ticketless = (await desk.invitesList({})).invites.length === 0
    }
    const [open] = (await desk.invitesList({})).invites
    assert.equal(open?.state, 'open')
    const revoked = await runCli(['invite', 'revoke', open?.inviteId ?? ''], { client: desk })
    assert.match(revoked.stdout, /✔ revoked inv_/)
    const ended = await waiting
    assert.equal(ended.code, 7)
    assert.match(ended.stdout, /^nzi1\w+\n\(single use, accepted without comparing words, until /)
    assert.match(ended.stderr, /NZ_INVITE_REVOKED/)
    const ticket = ended.stdout.split('\n')[0] ?? ''
    const late = await runCli(['join', ticket, '--yes'], { client: laptop })
    assert.equal(late.code, 7)
    assert.match(late.stderr, /NZ_INVITE_REVOKED/)
    assert.match((await runCli(['invite', 'list'], { client: desk })).stdout, /inv_\w+ +revoked/)
    await stop()
  })

  it('say what to do when the words cannot be shown, before anything is done', async () => {
    for (const argv of [
      ['join', 'nzi1x'],
      ['invite', '--wait'],
    ]) {
      const run = await runCli(argv, { client: {} })
      assert.equal(run.code, 2)
      assert.match(run.stderr, /NZ_CLI_WORDS_NOT_SHOWN[\s\S]*--yes/)
    }
  })

  it('print the ticket as a QR code on request', async () => {
    const { desk, stop } = await twoClients()
    const plain = await runCli(['invite'], { client: desk })
    assert.doesNotMatch(plain.stdout, /█/)
    const drawn = await runCli(['invite', '--qr'], { client: desk })
    assert.match(drawn.stdout, /█/)
    assert.ok(!drawn.stdout.includes('\u001b'))
    await stop()
  })

  it('rename and remove contacts, and refuse unusable names', async () => {
    const { desk, laptop, stop } = await twoClients()
    const { ticket } = await desk.invitesCreate({ accepts: 'automatically' })
    await runCli(['join', ticket, '--yes'], { client: laptop })
    assert.match(
      (await runCli(['contacts', 'rename', 'desk', 'office'], { client: laptop })).stdout,
      /✔ renamed to office/,
    )
    assert.equal((await runCli(['contacts', 'rename', 'office', 'nz1abc'], { client: laptop })).code, 2)
    assert.equal((await runCli(['contacts', 'remove', 'desk'], { client: laptop })).code, 5)
    assert.match((await runCli(['contacts', 'remove', 'office'], { client: laptop })).stdout, /✔ removed office/)
    assert.match((await runCli(['contacts'], { client: laptop })).stdout, /no contacts yet/)
    await stop()
  })

  it('read durations with units only', () => {
    assert.deepEqual(['90s', '10m', '2h', '7d'].map(durationOf), [90_000, 600_000, 7_200_000, 604_800_000])
    for (const wrong of ['', '10', 'm', '-1m', '1.5h', '10 m'])
      assert.throws(() => durationOf(wrong), { code: 'NZ_CLI_USAGE' })
  })
})
