/** Every example of docs/sdk.md runs as it stands: each block is a program of its own. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { createNode } from '../../sdk/node.ts'
import type { NzNode } from '../../sdk/nz-node.ts'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

/** What each block prints, in the order of the page. */
const expected: ReadonlyArray<{ readonly about: string; readonly prints: RegExp }> = [
  { about: 'a node inside the application', prints: /^nz1\S+ [A-Z-]+ \[/ },
  { about: 'the node of this machine', prints: /^$/ },
  { about: 'a node over TCP', prints: /^running$/m },
  { about: 'two nodes', prints: /same words[\s\S]*\nhello\nremember the milk\nrcp_/ },
  { about: 'stored files', prints: /^0057061a 17\nremember the milk\n17 milk\nnotes\/today\n$/ },
  { about: 'events', prints: /^kernel\.started/m },
  { about: 'event logs and documents', prints: /door opened\n.*door closed\nsomebody was quicker/ },
]

describe('docs/sdk.md', () => {
  let folder = ''
  let daemon: NzNode
  let blocks: readonly string[] = []
  let env: NodeJS.ProcessEnv = {}

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-docs-sdk-'))
    const home = join(folder, 'home')
    const settings = {
      'network.listen': ['/ip4/127.0.0.1/tcp/0'],
      'ipc.tcp.enabled': true,
      'ipc.tcp.port': 0,
    }
    daemon = await createNode({ env: { NZ_HOME: home }, settings, socket: true })
    const { apiUrl } = await daemon.status()
    const { token } = await daemon.api.tokensCreate({ name: 'docs', capabilities: ['node.read'] })
    env = { PATH: process.env['PATH'], HOME: folder, NZ_HOME: home, NZ_URL: apiUrl ?? '', NZ_TOKEN: token }
    const page = await readFile(join(root, 'docs/sdk.md'), 'utf8')
    blocks = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code)
  })

  after(async () => {
    await daemon.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('has an example of each', () => assert.equal(blocks.length, expected.length))

  for (const [i, { about, prints }] of expected.entries()) {
    it(`runs: ${about}`, async () => {
      const code = (blocks[i] ?? '')
        .replaceAll("'nzcore/node'", `'${pathToFileURL(join(root, 'sdk/node.ts')).href}'`)
        .replaceAll("'nzcore'", `'${pathToFileURL(join(root, 'sdk/index.ts')).href}'`)
      const file = join(folder, `example${i}.mts`)
      await writeFile(file, code)
      const { stdout } = await run(process.execPath, [file], { env, timeout: 120_000 })
      assert.match(stdout, prints)
    })
  }
})
