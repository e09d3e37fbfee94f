/** Which folder may import which, held against every source file; the rule itself is tested by made-up files. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { importsOf, violationsOf } from './architecture/imports.ts'

const root = resolve(import.meta.dirname, '..')
const folders = ['kernel', 'modules', 'protocols', 'cli', 'sdk', 'native', 'spec', 'test', 'bench']
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const rules = { exists: (path: string) => existsSync(join(root, path)), dependencies: Object.keys(dependencies) }

describe('the sources', () => {
  it('import in the allowed direction only', () => {
    const counted = new Map<string, number>()
    const wrong: string[] = []
    for (const file of globSync(
      folders.map((folder) => `${folder}/**/*.{ts,mts,cts,js,mjs,cjs}`),
      { cwd: root },
    )) {
      const path = file.replaceAll('\\', '/')
      const folder = path.split('/')[0] ?? ''
      const source = readFileSync(join(root, file), 'utf8')
      counted.set(folder, (counted.get(folder) ?? 0) + 1)
      wrong.push(...violationsOf(path, source, rules))
    }
    assert.deepEqual(wrong, [])
    // A test that looked at nothing would pass for ever.
    for (const folder of ['kernel', 'modules', 'protocols', 'cli', 'sdk', 'test']) {
      assert.ok((counted.get(folder) ?? 0) > 0, `no source file found in ${folder}/`)
    }
  })

  it('all contain imports that were found', () => {
    for (const file of ['kernel/kernel.ts', 'modules/home/index.ts', 'protocols/ipc/contract.ts', 'cli/command.ts']) {
      const source = readFileSync(join(root, file), 'utf8')
      const lines = source.split('\n').filter((line) => /^(?:import|export)\b.*\bfrom '|^\} from '/.test(line))
      assert.ok(lines.length > 0)
      assert.equal(importsOf(source).length, lines.length, file)
    }
  })
})

describe('the import rule', () => {
  const made = { exists: () => true, dependencies: ['zod', 'libp2p', '@libp2p/tcp', '@standard-schema/spec'] }
  const check = (file: string, source: string): readonly string[] => violationsOf(file, source, made)
  const from = (path: string): string => `import { x } from '${path}'`

  const refused: ReadonlyArray<readonly [string, string, string]> = [
    ['kernel', 'kernel/kernel.ts', '../protocols/ipc/home.ts'],
    ['kernel', 'kernel/kernel.ts', '../modules/home/service.ts'],
    ['kernel', 'kernel/kernel.ts', '../sdk/client.ts'],
    ['kernel', 'kernel/kernel.ts', '@libp2p/tcp'],
    ['native', 'native/binding.ts', '../modules/network/service.ts'],
    ['protocols', 'protocols/ipc/a.ts', '../../modules/home/service.ts'],
    ['protocols', 'protocols/ipc/a.ts', '../../kernel/errors.ts'],
    ['protocols', 'protocols/ipc/a.ts', '../../native/binding.ts'],
    ['protocols', 'protocols/ipc/a.ts', 'node:fs/promises'],
    ['a module', 'modules/home/index.ts', '../network/dial.ts'],
    ['a module', 'modules/home/index.ts', '../network/index.ts'],
    ['a module', 'modules/home/index.ts', '../../kernel/kernel.ts'],
    ['a module', 'modules/home/index.ts', '../../cli/node.ts'],
    ['a module', 'modules/home/index.ts', '../../sdk/client.ts'],
    ['a module', 'modules/home/index.ts', '../../native/binding.ts'],
    ['a module', 'modules/home/index.ts', '@libp2p/tcp'],
    ['the network module', 'modules/network/index.ts', '../../native/src/ring.ts'],
    ['sdk', 'sdk/client.ts', '../modules/home/service.ts'],
    ['sdk', 'sdk/client.ts', '../cli/node.ts'],
    ['sdk', 'sdk/node.ts', '../cli/main.ts'],
    ['sdk', 'sdk/client.ts', '../protocols/invite/ticket.ts'],
    ['sdk', 'sdk/client.ts', '../kernel/errors.ts'],
    ['cli', 'cli/main.ts', '../modules/home/index.ts'],
    ['cli', 'cli/main.ts', '../modules/home/service.ts'],
    ['cli', 'cli/node.ts', '../modules/home/state-files.ts'],
    ['cli', 'cli/error-catalogue.ts', '../modules/home/service.ts'],
    ['cli', 'cli/main.ts', '../bench/burst.ts'],
    ['cli', 'cli/commands/bench.ts', '../../bench/burst.ts'],
    ['cli', 'cli/main.ts', '../protocols/invite/ticket.ts'],
    ['cli', 'cli/main.ts', 'libp2p'],
    ['cli', 'cli/main.ts', 'fast-check'],
    ['bench', 'bench/burst.ts', '../test/fake/network.ts'],
    ['bench', 'bench/burst.ts', 'fast-check'],
    ['anybody', 'modules/home/index.ts', '../../test/fake/network.ts'],
    ['anybody', 'sdk/client.ts', '../spec/render.ts'],
    ['anybody', 'cli/main.ts', '../../elsewhere.ts'],
  ]
  for (const [who, file, target] of refused) {
    it(`refuses ${who}: ${file} → ${target}`, () => assert.equal(check(file, from(target)).length, 1))
  }

  const granted: ReadonlyArray<readonly [string, string]> = [
    ['kernel/kernel.ts', from('./graph.ts')],
    ['kernel/config.ts', from('zod')],
    ['kernel/module.ts', `import type { StandardSchemaV1 } from '@standard-schema/spec'`],
    ['native/binding.ts', from('../kernel/index.ts')],
    ['protocols/ipc/a.ts', from('../../kernel/index.ts')],
    ['protocols/ipc/a.ts', from('node:crypto')],
    ['modules/home/index.ts', from('../network/service.ts')],
    ['modules/home/index.ts', from('./state-files.ts')],
    ['modules/home/index.ts', from('../../protocols/ipc/home.ts')],
    ['modules/network/index.ts', from('../../native/binding.ts')],
    ['modules/network/index.ts', from('@libp2p/tcp')],
    ['sdk/client.ts', from('../protocols/ipc/contract.ts')],
    ['sdk/node.ts', from('../cli/node.ts')],
    ['cli/node.ts', from('../modules/home/index.ts')],
    ['cli/main.ts', `import type { X } from '../modules/home/service.ts'`],
    ['cli/commands/bench.ts', `await import('../../bench/burst.ts')`],
    ['cli/error-catalogue.ts', `await import('../modules/home/service.ts')`],
    ['cli/nzcore.js', `await import('../dist/cli/main.js')`],
    ['test/unit/a.test.ts', from('../../modules/home/state-files.ts')],
    ['bench/a.bench.ts', from('libp2p')],
    ['spec/render.ts', from('../modules/home/index.ts')],
  ]
  for (const [file, source] of granted) {
    it(`grants ${file}: ${source}`, () => assert.deepEqual(check(file, source), []))
  }

  it('finds an import however it is written', () => {
    for (const source of [
      `import x from '../cli/node.ts'`,
      `import "../cli/node.ts"`,
      `import {\n  a,\n  b as c,\n} from\n  '../cli/node.ts'`,
      `import * as x from '../cli/node.ts'`,
      `import x, { y } from "../cli/node.ts"`,
      `import type { X } from '../cli/node.ts'`,
      `export * from '../cli/node.ts'`,
      `export {\n  a,\n} from '../cli/node.ts'`,
      `export type { X } from '../cli/node.ts'`,
      `const x = await import('../cli/node.ts')`,
      `const x = await import(\n  '../cli/node.ts',\n)`,
      'const x = await import(`../cli/node.ts`)',
      `type X = import('../cli/node.ts').X`,
      `const a = 1; import b from '../cli/node.ts'`,
      `/* why */ import b from '../cli/node.ts'`,
    ]) {
      assert.equal(check('kernel/kernel.ts', source).length, 1, source)
    }
  })

  it('refuses what it cannot read', () => {
    for (const source of [
      'await import(name)',
      'await import(`../${x}.ts`)',
      `require('./x.cjs')`,
      'createRequire(x)',
    ]) {
      assert.equal(check('modules/home/index.ts', source).length, 1, source)
    }
    assert.match(
      violationsOf('kernel/a.ts', from('./gone.ts'), { ...made, exists: () => false })[0] ?? '',
      /no such file/,
    )
  })

  it('takes no example in a doc comment for an import', () => {
    assert.deepEqual(check('sdk/client.ts', `/**\n * import { Kernel } from '../cli/node.ts'\n */\nconst a = 1`), [])
  })
})
