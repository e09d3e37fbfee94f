import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { buildCommandTable } from '../../cli/command-table.ts'
import { commandGroups } from '../../cli/commands/index.ts'
import { documents } from '../../cli/documents/index.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import { defineContract } from '../../protocols/ipc/endpoint.ts'
import { homeErrors } from '../../modules/home/service.ts'
import { networkErrors } from '../../modules/network/service.ts'
import { runCli } from '../fake/cli.ts'
import type { CliRunInit } from '../fake/cli.ts'
import type { CommandGroups } from '../../cli/command-table.ts'

const probe = defineContract({
  ringList: {
    method: 'GET',
    path: '/ring',
    kind: 'call',
    summary: 'List the ring',
    command: ['ring', 'list'],
    positional: ['peer'],
    schemaName: 'nz.ring/1',
    params: z.strictObject({
      peer: z.string().describe('name or id'),
      maxHops: z.number().int().max(9).default(3).describe('how far to look'),
      order: z.enum(['near', 'far']).default('near'),
      isFull: z.boolean().default(false).describe('whole ids'),
      tags: z.array(z.string()).optional(),
      weight: z.number().optional(),
    }),
    result: z.strictObject({ members: z.array(z.strictObject({ name: z.string(), rttMs: z.number().nullable() })) }),
    capability: 'ring.read',
    errors: [],
  },
  ringWatch: {
    method: 'GET',
    path: '/ring/watch',
    kind: 'stream',
    summary: 'Follow the ring',
    command: ['ring', 'watch'],
    schemaName: 'nz.ringChange/1',
    params: z.strictObject({}),
    result: z.strictObject({ name: z.string() }),
    capability: 'ring.read',
    errors: [],
  },
  ringBreak: {
    method: 'POST',
    path: '/ring/break',
    kind: 'call',
    summary: 'Break the ring',
    command: ['ring', 'break'],
    schemaName: 'nz.ringBreak/1',
    params: z.strictObject({}),
    result: z.strictObject({}),
    capability: 'ring.write',
    errors: [],
  },
})

async function ring(
  argv: readonly string[],
  init: CliRunInit = {},
  groups: CommandGroups = {},
): Promise<ReturnType<typeof runCli>> {
  return await runCli(argv, { table: await buildCommandTable(probe, groups), groups, ...init })
}

describe('commands derived from the contract', () => {
  it('turn arguments and options into typed parameters and leave defaults to the endpoint', async () => {
    const seen: object[] = []
    const client = { ringList: async (params: object) => (seen.push(params), { members: [] }) }
    await ring(['ring', 'list', 'desk'], { client })
    await ring(
      ['ring', 'list', 'desk', '--max-hops', '5', '--order', 'far', '--is-full', '--tags', 'a,b', '--weight', '-1.5'],
      { client },
    )
    assert.deepEqual(seen, [
      { peer: 'desk' },
      { peer: 'desk', maxHops: 5, order: 'far', isFull: true, tags: ['a', 'b'], weight: -1.5 },
    ])
  })

  for (const [what, argv, why] of [
    ['a number that is none', ['ring', 'list', 'x', '--max-hops', 'many'], '--max-hops takes a whole number'],
    ['a choice that is none', ['ring', 'list', 'x', '--order', 'up'], '--order is one of near, far'],
    ['a missing argument', ['ring', 'list'], "missing required argument 'peer'"],
    ['an argument too many', ['ring', 'list', 'a', 'b'], 'too many arguments'],
    ['an option of another command', ['ring', 'watch', '--order', 'far'], "unknown option '--order'"],
    ['half a command', ['ring'], 'a command is missing'],
    ['no command at all', ['rong'], "unknown command 'rong' (Did you mean ring?)"],
  ] as const) {
    it(`refuse ${what} with exit code 2`, async () => {
      const { code, stdout, stderr } = await ring(argv, { client: {} })
      assert.equal(code, 2)
      assert.equal(stdout, '')
      assert.ok(stderr.includes('NZ_CLI_USAGE') && stderr.includes(why), stderr)
    })
  }

  it('print tables, escape what peers say, and show units', async () => {
    const client = {
      ringList: async () => ({
        members: [
          { name: 'a\u001b[2J\u202eb', rttMs: 23.4 },
          { name: 'long name', rttMs: null },
        ],
      }),
    }
    const { code, stdout } = await ring(['ring', 'list', 'x'], { client })
    assert.equal(code, 0)
    assert.equal(
      stdout,
      ['NAME                 RTT', 'a\\u{1b}[2J\\u{202e}b  23 ms', 'long name            -', ''].join('\n'),
    )
  })

  it('print one JSON document with its schema name', async () => {
    const client = { ringList: async () => ({ members: [{ name: 'a\u001b\u202e', rttMs: 1 }] }) }
    const { stdout } = await ring(['ring', 'list', 'x', '--json'], { client })
    assert.equal(stdout, '{"schema":"nz.ring/1","members":[{"name":"a\\u001b\\u202e","rttMs":1}]}\n')
  })

  it('print streams as one document a line', async () => {
    const client = {
      async *ringWatch() {
        yield { name: 'a' }
        yield { name: 'b' }
      },
    }
    const { stdout } = await ring(['--json', 'ring', 'watch'], { client })
    assert.equal(stdout, '{"schema":"nz.ringChange/1","name":"a"}\n{"schema":"nz.ringChange/1","name":"b"}\n')
  })

  it('let a group say how an answer reads', async () => {
    const groups = { ring: async () => ({ commands: [], presenters: { ringBreak: () => '✔ ring broken' } }) }
    const { stdout } = await ring(['ring', 'break'], { client: { ringBreak: async () => ({}) } }, groups)
    assert.equal(stdout, '✔ ring broken\n')
  })

  it('give way to an own command with the same words', async () => {
    const groups: CommandGroups = {
      ring: async () => ({
        presenters: {},
        commands: [
          { words: ['ring', 'break'], summary: 'own', schemaNames: [], run: async ({ output }) => output.say('mine') },
        ],
      }),
    }
    assert.equal((await ring(['ring', 'break'], {}, groups)).stdout, 'mine\n')
  })
})

describe('errors', () => {
  const client = {
    ringBreak: async () => await Promise.reject(networkErrors.NZ_NETWORK_UNREACHABLE({ why: 'no packet\u001b back' })),
  }

  it('say what, why and what to do, with the exit code of the error', async () => {
    const { code, stdout, stderr } = await ring(['ring', 'break'], { client })
    assert.equal(code, 8)
    assert.equal(stdout, '')
    assert.deepEqual(stderr.split('\n').slice(0, 3), [
      '✖ the peer cannot be reached (NZ_NETWORK_UNREACHABLE)',
      '  why: no packet\\u{1b} back',
      '  do:  nzcore doctor',
    ])
  })

  it('name the facts that a step is about', async () => {
    const unreadable = homeErrors.NZ_HOME_UNREADABLE({ data: { path: '/srv/a/state.json' } })
    const { stderr } = await ring(['ring', 'break'], {
      client: { ringBreak: async () => await Promise.reject(unreadable) },
    })
    assert.match(stderr, /do: {2}check owner and mode of \/srv\/a\/state\.json\n/)
    const { stdout } = await ring(['ring', 'break', '--json'], {
      client: { ringBreak: async () => await Promise.reject(unreadable) },
    })
    assert.match(stdout, /check owner and mode of \/srv\/a\/state\.json/)
  })

  it('are one document on stdout with --json', async () => {
    const { code, stdout, stderr } = await ring(['ring', 'break', '--json'], { client })
    assert.equal(code, 8)
    assert.equal(stderr, '')
    const { schema, ...document } = JSON.parse(stdout) as Record<string, unknown>
    assert.equal(schema, 'nz.error/1')
    documents['nz.error/1'].parse(document)
  })

  it('that nobody foresaw keep their message and exit with 1', async () => {
    const { code, stderr } = await ring(['ring', 'break'], {
      client: { ringBreak: async () => await Promise.reject(new Error('odd')) },
    })
    assert.equal(code, 1)
    assert.match(stderr, /NZ_CLI_UNEXPECTED[^]*odd/)
  })

  it('say that no daemon runs with exit code 3', async () => {
    assert.equal((await ring(['ring', 'break'])).code, 3)
  })

  it('become exit code 130 after an interrupt, with nothing said', async () => {
    const { cliErrors } = await import('../../cli/errors.ts')
    const signal = AbortSignal.abort(cliErrors.NZ_CLI_INTERRUPTED())
    const { code, stderr } = await ring(['ring', 'break'], {
      signal,
      client: { ringBreak: async () => await Promise.reject(new Error('cut')) },
    })
    assert.deepEqual({ code, stderr }, { code: 130, stderr: '' })
  })

  it('refuse a profile name that is none', async () => {
    assert.equal((await ring(['ring', 'break', '--profile', '../x'], { client })).code, 2)
  })
})

describe('the whole command line', () => {
  it('has a published schema for every document', async () => {
    const published = new Set([
      ...Object.keys(documents),
      ...Object.values(contract).map(({ schemaName }) => schemaName),
    ])
    const table = await buildCommandTable(contract, commandGroups)
    const missing = table.flatMap(({ words, schemaNames }) =>
      schemaNames.filter((name) => !published.has(name)).map((name) => `${words.join(' ')}: ${name}`),
    )
    assert.deepEqual(missing, [], 'add the schema to cli/documents')
  })

  it('shows every command in its help', async () => {
    const { code, stdout } = await runCli(['--help'])
    assert.equal(code, 0)
    for (const { words } of await buildCommandTable(contract, commandGroups)) {
      assert.ok(words[0]?.startsWith('__') || stdout.includes(`\n  ${words[0]}`), words.join(' '))
    }
  })

  it('prints versions and explains error codes without a daemon', async () => {
    const version = JSON.parse((await runCli(['version', '--json'])).stdout) as Record<string, unknown>
    const { schema, ...rest } = version
    assert.equal(schema, 'nz.version/1')
    contract.nodeVersion.result.parse(rest)
    const explained = await runCli(['explain', 'NZ_HOME_LOCKED'])
    assert.match(explained.stdout, /another process runs this profile/)
    assert.equal((await runCli(['explain', 'NZ_NO_SUCH'])).code, 5)
  })
})
