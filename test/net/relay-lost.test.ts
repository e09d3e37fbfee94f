/**
 * `nzcore send` between two daemons behind symmetric NATs, who reach each other through relays alone. The relay that
 * carries the file is killed in the middle of it: the file arrives through the other one.
 */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { relayOf } from '../../modules/network/address.ts'
import { lastDocument, Machine } from '../integration/story/machine.ts'
import { sha256Of, writeSampleFile } from '../integration/story/sample-file.ts'
import { startRelays } from './grid.ts'
import { Lab } from './lab.ts'
import { until } from './peer.ts'
import type { LabPeer } from './peer.ts'
import { hasProgram, whyNoLab } from './system.ts'

const why = whyNoLab() ?? (hasProgram('g++') ? null : 'no compiler g++ for the impairment box')
if (why !== null) process.stdout.write(`a relay that is lost: skipped: ${why}\n`)

const SIZE = 12 * 1_048_576

interface PeerAnswer {
  readonly peer: { readonly paths: ReadonlyArray<{ readonly transport: string; readonly address: string }> }
}

/** In full also without a word to anybody, as when its cable is pulled. */
const losses: ReadonlyArray<readonly [string, (lab: Lab, relay: LabPeer, all: readonly LabPeer[]) => void]> = [
  ['killed', (_lab, relay) => relay.kill()],
  ...(process.env['NZ_FULL'] === undefined
    ? []
    : [
        [
          'silent',
          (lab: Lab, relay: LabPeer, all: readonly LabPeer[]) => lab.setLink(`relay-${all.indexOf(relay) + 1}`, 'down'),
        ] as const,
      ]),
]

describe('a relay that is lost', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  for (const [how, lose] of losses)
    it(`${how} in the middle of a file: the file arrives through another`, { timeout: 240_000 }, async () => {
      await using lab = await Lab.open({
        segments: {
          internet: { subnet: '45.0.0.0/24' },
          'home-a': { subnet: '192.168.1.0/24' },
          'home-b': { subnet: '192.168.1.0/24' },
        },
        nats: {
          'nat-a': { inside: 'home-a', outside: 'internet', kind: 'symmetric' },
          // So that a file takes seconds.
          'nat-b': { inside: 'home-b', outside: 'internet', kind: 'symmetric', impairment: { kbitPerSecond: 60_000 } },
        },
        hosts: {
          'relay-1': { on: 'internet' },
          'relay-2': { on: 'internet' },
          desk: { on: 'home-a' },
          laptop: { on: 'home-b' },
        },
      })
      const { peers: relays, use } = await startRelays(lab)
      const folder = await mkdtemp(join(tmpdir(), 'nz-relay-lost-'))
      const machine = async (name: string): Promise<Machine> => {
        const config = [
          '[network]',
          // A relay that falls silent is noticed after two pings.
          'keepAliveIntervalMs = 1_000',
          'keepAliveTimeoutMs = 2_000',
          'listen = ["/ip4/0.0.0.0/tcp/4001"]',
          '[network.relay]',
          `use = ${JSON.stringify(use)}`,
        ]
        return await Machine.create(join(folder, name), `${config.join('\n')}\n`, { namespace: lab.namespace(name) })
      }
      const [desk, laptop] = [await machine('desk'), await machine('laptop')]
      try {
        await Promise.all([desk.json('up'), laptop.json('up')])
        for (const each of [desk, laptop])
          await until(
            async () => (await each.json('reachability')) as { relays: ReadonlyArray<{ state: string }> },
            (answer) => answer.relays.every(({ state }) => state === 'reserved'),
          )
        const { ticket } = await laptop.json('invite', '--yes', '--no-wait')
        await desk.json('join', String(ticket), '--yes', '--as', 'laptop')
        const sample = await writeSampleFile(join(folder, 'sample.bin'), SIZE)
        const inbox = join(folder, 'inbox')
        await mkdir(inbox)
        await laptop.json('receive', '--to', inbox, '--detach')

        const sending = desk.start('send', 'laptop', 'sample.bin', join(folder, 'sample.bin'), '--json')
        const arrived = async (): Promise<number> => {
          const part = (await readdir(inbox)).find((name) => name.endsWith('.part'))
          return part === undefined ? 0 : (await stat(join(inbox, part))).size
        }
        await until(arrived, (bytes) => bytes > SIZE / 8)
        const path = await pathOf(desk)
        assert.equal(path.transport, 'relay')
        const lost = relays.find(({ peerId }) => peerId === relayOf(path.address)) ?? assert.fail(path.address)
        assert.ok((await arrived()) < SIZE, 'the file was there before the relay was killed')
        lose(lab, lost, relays)
        const { code, stdout, stderr } = await sending.outcome
        assert.equal(code, 0, `${stdout}${stderr}`)
        const { transfer } = lastDocument(stdout) as { transfer: { sha256: string } }
        assert.equal(transfer.sha256, sample.sha256)
        assert.equal(await sha256Of(join(inbox, 'sample.bin')), sample.sha256)
        const after = await pathOf(desk)
        assert.equal(after.transport, 'relay')
        assert.notEqual(relayOf(after.address), lost.peerId)
      } finally {
        for (const each of [desk, laptop]) await each.run('down')
        await rm(folder, { recursive: true, force: true })
      }
    })
})

/** How new streams go to the laptop. */
async function pathOf(desk: Machine): Promise<PeerAnswer['peer']['paths'][number]> {
  const { peer } = (await desk.json('peers', 'show', 'laptop')) as unknown as PeerAnswer
  return peer.paths[0] ?? assert.fail('the laptop is not connected')
}
