/** Documentation leads somewhere, and the comparison that test/integration/docs.test.ts relies on is strict enough. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { buildCommandTable } from '../cli/command-table.ts'
import { commandGroups } from '../cli/commands/index.ts'
import { contract } from '../protocols/ipc/contract.ts'
import { documentedFiles } from './docs/machines.ts'
import { firstMissing, stepsOf } from './docs/transcript.ts'

const root = resolve(import.meta.dirname, '..')

describe('documentation', () => {
  it('has links that lead to files', async () => {
    const files = await documentedFiles()
    assert.ok(files.length > 5)
    const broken = files.flatMap(({ file, markdown }) =>
      [...markdown.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, target]) => target ?? '')
        .filter((target) => !/^(?:https?|mailto):/.test(target))
        .filter((target) => !existsSync(join(root, dirname(file), target)))
        .map((target) => `${file}: ${target}`),
    )
    assert.deepEqual(broken, [])
  })

  it('names every command in docs/operating.md', async () => {
    const operating = (await documentedFiles()).find(({ file }) => file.endsWith('operating.md'))?.markdown ?? ''
    const commands = (await buildCommandTable(contract, commandGroups)).map(({ words }) => words.join(' '))
    assert.ok(commands.length > 50)
    const missing = commands.filter((command) => !command.startsWith('__') && !operating.includes(`\`${command}\``))
    assert.deepEqual(missing, [])
  })

  it('closes every fence', async () => {
    for (const { file, markdown } of await documentedFiles()) {
      assert.equal((markdown.match(/^```/gm) ?? []).length % 2, 0, file)
    }
  })
})

describe('a transcript', () => {
  const fence = (...lines: readonly string[]): string => ['text', '```sh run', ...lines, '```', 'text'].join('\n')

  it('is commands with what they print', () => {
    const steps = stepsOf(fence('$ nzcore up', '✔ one', '', '✔ two', '', 'desk$ nzcore status   # exit 3', '…'), 'a.md')
    assert.deepEqual(steps, [
      { machine: '', command: 'nzcore up', exit: 0, expected: ['✔ one', '', '✔ two'], where: 'a.md:3' },
      { machine: 'desk', command: 'nzcore status', exit: 3, expected: ['…'], where: 'a.md:8' },
    ])
    assert.deepEqual(stepsOf('```sh\n$ rm -rf x\n```', 'a.md'), [])
  })

  it('allows for what always differs', () => {
    for (const [shown, printed] of [
      ['pid 4121, ready in 0.38 s', 'pid 17, ready in 912 ms'],
      ['identity nz1q7k4v…m3p9  (~/x, 0600)', 'identity nz1zzz…aaa (~/x, 0600)'],
      ['words ORBIT PAPER SEVEN TUNA', 'words ABOUT ZERO LUNAR FISH'],
      ['sha256 9b1c0011… confirmed', 'sha256 77aa00ff confirmed'],
      ['tcp … there', 'tcp anything at all there'],
    ]) {
      assert.equal(firstMissing([shown ?? ''], `\n${printed}\n`), null, shown)
    }
    assert.equal(firstMissing(['a', '…', 'z'], 'a\nb\nc\nz\n'), null)
    assert.equal(firstMissing(['…', 'z'], 'z\n'), null)
    assert.equal(firstMissing([], 'whatever\n'), null)
  })

  it('allows for nothing else', () => {
    for (const [shown, printed] of [
      ['✔ daemon running', '✖ daemon running'],
      ['ready in 0.38 s', 'ready in a while'],
      ['a', 'a\nb'],
      ['a\nb', 'a'],
      ['a\n…\nz', 'a\nb'],
      ['a\nb', 'b\na'],
    ]) {
      assert.notEqual(firstMissing((shown ?? '').split('\n'), printed ?? ''), null, shown)
    }
  })
})
