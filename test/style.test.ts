/** What a reader may rely on in every file: its size, its name, where time and chance come from, what it never says. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { describe, it } from 'node:test'

const root = resolve(import.meta.dirname, '..')
const shipped = ['kernel', 'modules', 'protocols', 'cli', 'sdk', 'native', 'spec', 'bench']
const MAX_LINES = 400
const MAX_TEST_LINES = 800

/** Everything that belongs to the repository; in a copy without git, everything that is not made by a build. */
function trackedFiles(): readonly string[] {
  const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  const files =
    listed.status === 0
      ? listed.stdout.split('\0')
      : globSync('**/*', {
          cwd: root,
          exclude: (name) => /(?:^|[\\/])(?:node_modules|dist|coverage|\.git)$/.test(name),
        })
  return files.filter((file) => file !== '' && existsSync(join(root, file)) && statSync(join(root, file)).isFile())
}

const tracked = trackedFiles()
const text = (file: string): string => readFileSync(join(root, file), 'utf8')
const sources = tracked.filter((file) => /\.(?:ts|mts|cts|js|mjs|cjs)$/.test(file))
const shippedSources = sources.filter((file) => shipped.includes(file.split('/')[0] ?? ''))

/** `file:line: text` for each line of code (comments aside) that matches. */
function linesOf(files: readonly string[], pattern: RegExp): readonly string[] {
  return files.flatMap((file) =>
    text(file)
      .split('\n')
      .map((line, i) => ({ line, where: `${file}:${i + 1}` }))
      .filter(({ line }) => !/^\s*(?:\/\/|\/?\*)/.test(line) && pattern.test(line))
      .map(({ line, where }) => `${where}: ${line.trim()}`),
  )
}

describe('every source file', () => {
  it('was looked at', () => assert.ok(shippedSources.length > 20 && tracked.includes('package.json')))

  it('is short enough to be read at once', () => {
    const long = sources
      .map((file) => ({ file, lines: text(file).trimEnd().split('\n').length }))
      .filter(({ file, lines }) => lines > (file.startsWith('test/') ? MAX_TEST_LINES : MAX_LINES))
    assert.deepEqual(long, [])
  })

  it('is named after what it does', () => {
    const nameless =
      /^(?:utils?|helpers?|commons?|managers?|misc|types|shared|stuff)(?:[.-]|$)|[.-](?:utils?|helpers?|manager)\./i
    assert.deepEqual(
      sources.filter((file) => file.split('/').some((part) => nameless.test(part))),
      [],
    )
    assert.deepEqual(linesOf(sources, /\b(?:class|interface|type)\s+\w*(?:Manager|Helper|Utils?)\b/), [])
  })

  it('says early what it is for', () => {
    const silent = shippedSources.filter((file) => !/\/\*|^\/\//m.test(text(file).split('\n').slice(0, 30).join('\n')))
    assert.deepEqual(silent, [])
  })

  it('takes time and chance from services', () => {
    const timeOrChance =
      /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\.now\b|\bMath\.random\b|\bset(?:Timeout|Interval)\b|node:timers|\bhrtime\b/
    const elsewhere = shippedSources.filter(
      // A bench measures the machine; its clock is the machine's.
      (file) => !['kernel/clock.ts', 'kernel/random.ts'].includes(file) && !file.startsWith('bench/'),
    )
    assert.deepEqual(linesOf(elsewhere, timeOrChance), [])
  })

  it('writes to no console', () => {
    assert.deepEqual(linesOf(shippedSources, /\bconsole\s*[.[]/), [])
  })
})

describe('the repository', () => {
  it('has what a stranger looks for', () => {
    for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md', '.ci/run', 'package-lock.json']) {
      assert.ok(tracked.includes(file) && text(file).trim() !== '', `${file} is missing`)
    }
    assert.match(text('LICENSE'), /^MIT License/)
    assert.ok(globSync('docs/adr/*.md', { cwd: root }).length > 0)
  })

  it('names no registry in its lock file', () => {
    const lock = text('package-lock.json')
    assert.doesNotMatch(lock, /"resolved": "[a-z+]+:/)
    assert.doesNotMatch(lock, /registry\./)
    assert.match(lock, /"integrity": "sha512-/)
  })

  it('names no place of one machine', () => {
    const places = ['work', 'root', 'home', 'Users', 'mnt'].map((name) => `(?<![\\w.~$}*-])/${name}/(?!\\*)[a-z]`)
    const machine = new RegExp([...places, 'C:\\\\\\\\?Users'].join('|'))
    const found = tracked
      .filter((file) => basename(file) !== 'style.test.ts' && !/\.(?:png|ico|node)$/.test(file))
      .flatMap((file) =>
        text(file)
          .split('\n')
          .map((line, i) => ({ line, where: `${file}:${i + 1}` })),
      )
      .filter(({ line }) => machine.test(line))
      .map(({ line, where }) => `${where}: ${line.trim()}`)
    assert.deepEqual(found, [])
  })
})
