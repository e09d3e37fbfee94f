/** `nzcore discovery`, `service`, `introductions`: what they print, as text and as documents, and what they refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { contactsErrors } from '../../modules/contacts/service.ts'
import { Dispatcher } from '../../modules/ipc/dispatch.ts'
import { discoveryHandlers } from '../../modules/ipc/handlers/discovery.ts'
import { introductionsHandlers } from '../../modules/ipc/handlers/introductions.ts'
import { createLocalClient } from '../../modules/ipc/local-client.ts'
import { discoveryContract } from '../../protocols/ipc/contract/discovery.ts'
import { introductionsContract } from '../../protocols/ipc/contract/introductions.ts'
import { runCli } from '../fake/cli.ts'
import { startDiscoveryNode } from '../fake/discovery.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'

const signal = AbortSignal.timeout(60_000)
const contract = { ...discoveryContract, ...introductionsContract }
const peerId = fakeIdentity(3).self.peerId
const atMs = 1_700_000_000_000
const lookup = { atMs, durationMs: 12, asked: 3, hops: 2, addresses: ['/ip4/203.0.113.4/tcp/4001'] }
const offer = { name: 'printer', version: '1.2', health: 'healthy', capabilities: ['colour', 'pdf'] }
const introduction = {
  id: '0123456789abcdef',
  introducer: { peerId, name: 'desk' },
  peerId,
  name: 'rack7',
  state: 'pending',
  isAcceptedThere: true,
  expiresAtMs: atMs,
}

interface Screen {
  readonly argv: readonly string[]
  readonly endpoint: keyof typeof contract
  readonly answer: object
  readonly text: RegExp
}

/** What a daemon may answer, and the whole screen that is made of it. */
const screens: readonly Screen[] = [
  {
    argv: ['discovery', 'status'],
    endpoint: 'discoveryStatus',
    answer: {
      discovery: {
        mode: 'server',
        tableSize: 127,
        proven: 101,
        estimatedNodes: 128,
        records: 7,
        recordBytes: 2_048,
        counters: {
          lookups: 4,
          hops: 5,
          queries: 61,
          queriesFailed: 2,
          answered: 90,
          limited: 1,
          refused: { NZ_DISCOVERY_FORGED: 3 },
        },
      },
    },
    text: new RegExp(
      [
        '^mode      server',
        'table     127 nodes, 101 proven; there seem to be 128',
        'keeps     7 records of others, 2\\S* \\w+',
        'asked     61 times in 4 lookups, 2 unanswered',
        'answered  90, refused as too many 1',
        'refused   NZ_DISCOVERY_FORGED 3\n$',
      ].join('\n'),
    ),
  },
  {
    argv: ['discovery', 'find', 'rack7'],
    endpoint: 'discoveryFind',
    answer: { peer: { peerId, name: 'rack7' }, lookup },
    text: /^✔ rack7 {2}3 asked, 2 hops, 12 ms\n {2}\/ip4\/203\.0\.113\.4\/tcp\/4001\n$/,
  },
  {
    argv: ['discovery', 'put', 'motd', 'hello'],
    endpoint: 'discoveryPut',
    answer: { name: 'motd', holders: 20 },
    text: /^✔ published motd at 20 nodes\n$/,
  },
  {
    argv: ['discovery', 'get', 'rack7', 'motd'],
    endpoint: 'discoveryGet',
    answer: {
      peer: { peerId, name: 'rack7' },
      name: 'motd',
      value: 'red \u001b[31m\u202e',
      base64: 'cmVk',
      signedAtMs: atMs,
    },
    // Text of a stranger reaches no terminal as it is.
    text: /^red [ -~]+\n$/,
  },
  {
    argv: ['service', 'list'],
    endpoint: 'serviceList',
    answer: { services: [{ ...offer, holders: 12, announcedAtMs: null }] },
    text: /^SERVICE +VERSION +HEALTH +CAPABILITIES +KEPT BY +ANNOUNCED\nprinter +1\.2 +healthy +colour pdf +12 +not yet\n$/,
  },
  {
    argv: ['service', 'announce', 'printer', '--capability', 'pdf', '--capability', 'colour'],
    endpoint: 'serviceAnnounce',
    answer: { service: { ...offer, holders: 0, announcedAtMs: null } },
    text: /^✔ announced printer · nobody could take it yet; it is tried again \(undo: nzcore service withdraw printer\)\n$/,
  },
  {
    argv: ['service', 'withdraw', 'printer'],
    endpoint: 'serviceWithdraw',
    answer: { services: [] },
    text: /^✔ withdrawn · still announced: 0\n$/,
  },
  {
    argv: ['service', 'find', 'printer', '--capability', 'pdf', '--no-check'],
    endpoint: 'serviceFind',
    answer: {
      services: [
        {
          ...offer,
          peer: { peerId, name: null },
          agreed: ['pdf'],
          state: 'silent',
          rttMs: null,
          trust: 'UNKNOWN',
          expiresAtMs: atMs,
        },
      ],
    },
    text: /^PEER +SERVICE +VERSION +HEALTH +STATE +RTT +TRUST +CAPABILITIES\n\S+…\S+ +printer +1\.2 +healthy +silent +- +UNKNOWN +colour pdf\n$/,
  },
  {
    argv: ['introductions'],
    endpoint: 'introductionsList',
    answer: { introductions: [introduction] },
    text: /^ID +NAME +PEER +BY +STATE +THERE\n0123456789abcdef +rack7 +\S+…\S+ +desk +pending +accepted\n$/,
  },
  {
    argv: ['introductions', 'make', 'desk', 'rack7'],
    endpoint: 'introductionsMake',
    answer: { id: introduction.id },
    text: /^✔ introduced · both are asked \(there: nzcore introductions accept 0123456789abcdef\)\n$/,
  },
  {
    argv: ['introductions', 'accept', introduction.id],
    endpoint: 'introductionsAccept',
    answer: { introduction: { ...introduction, state: 'joined' } },
    text: /^✔ rack7 is a contact now\n$/,
  },
  {
    argv: ['introductions', 'decline', introduction.id],
    endpoint: 'introductionsDecline',
    answer: { introductions: [] },
    text: /^✔ declined\nnobody is to be introduced\n$/,
  },
]

describe('the screens of discovery', () => {
  for (const { argv, endpoint, answer, text } of screens)
    it(`nzcore ${argv.join(' ')}`, async () => {
      const { schemaName, params, result } = contract[endpoint]
      // A screen of what no daemon would answer would show nothing.
      assert.equal((await result['~standard'].validate(answer)).issues, undefined)
      const client = {
        [endpoint]: async (given: unknown) => {
          assert.equal((await params['~standard'].validate(given)).issues, undefined)
          return answer
        },
      }
      const shown = await runCli(argv, { client })
      assert.deepEqual([shown.code, shown.stderr], [0, ''])
      assert.match(shown.stdout, text)
      const document = await runCli([...argv, '--json'], { client })
      assert.deepEqual(JSON.parse(document.stdout), { schema: schemaName, ...answer })
    })
})

const nobody = {
  get: () => undefined,
  resolve: (): never => {
    throw contactsErrors.NZ_CONTACTS_NOT_FOUND()
  },
}

async function aloneClient() {
  const clock = new SimulatedClock()
  const node = await startDiscoveryNode({ mesh: createFakeNetwork({ clock }), seed: 1, clock })
  const handlers = { ...discoveryHandlers({ ...node, contacts: nobody, clock }), ...introductionsHandlers(node) }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const dispatcher = new Dispatcher({ contract, handlers, clock, log })
  return { client: createLocalClient(contract, dispatcher, { signal }), node }
}

describe('wrong input to the commands of discovery', () => {
  it('is refused with a code, and the same in a document', async () => {
    const { client, node } = await aloneClient()
    const wrong: ReadonlyArray<readonly [argv: readonly string[], exit: number, code: string]> = [
      [['service', 'announce'], 2, 'NZ_CLI_USAGE'],
      [['service', 'announce', 'printer', '--colour', 'red'], 2, 'NZ_CLI_USAGE'],
      [['discovery', 'find'], 2, 'NZ_CLI_USAGE'],
      [['introductions', 'make', 'desk'], 2, 'NZ_CLI_USAGE'],
      [['service', 'announce', 'printer', '--health', 'splendid'], 2, 'NZ_IPC_PARAMS_INVALID'],
      [['service', 'announce', 'Print Server'], 2, 'NZ_DISCOVERY_SERVICE_INVALID'],
      [['service', 'find'], 2, 'NZ_DISCOVERY_SERVICE_INVALID'],
      [['service', 'withdraw', 'nothing'], 5, 'NZ_DISCOVERY_SERVICE_UNKNOWN'],
      [['discovery', 'put', 'motd', 'x'.repeat(1_025)], 2, 'NZ_IPC_PARAMS_INVALID'],
      [['discovery', 'put', 'Motd', 'x'], 2, 'NZ_DISCOVERY_VALUE_INVALID'],
      [['discovery', 'find', peerId], 8, 'NZ_DISCOVERY_ALONE'],
      [['discovery', 'find', 'somebody'], 5, 'NZ_CONTACTS_NOT_FOUND'],
      [['service', 'find', 'printer'], 8, 'NZ_DISCOVERY_ALONE'],
      [['introductions', 'accept', '0123456789abcdef'], 5, 'NZ_INTRODUCTION_UNKNOWN'],
      [['introductions', 'decline', '../../etc'], 5, 'NZ_INTRODUCTION_UNKNOWN'],
    ]
    for (const [argv, exit, code] of wrong) {
      const shown = await runCli(argv, { client })
      assert.deepEqual([argv, shown.code, shown.stdout], [argv, exit, ''])
      assert.ok(shown.stderr.includes(code), `${argv.join(' ')}: ${shown.stderr}`)
      const document = await runCli([...argv, '--json'], { client })
      assert.equal(document.code, exit)
      const { schema, code: told } = JSON.parse(document.stdout) as { readonly schema: string; readonly code: string }
      assert.deepEqual([schema, told], ['nz.error/1', code])
    }
    await node[Symbol.asyncDispose]()
  })
})
