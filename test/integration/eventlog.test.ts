/** Event logs on a real disk: processes killed while they append, and every file changed at random places. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { StateFiles } from '../../modules/home/state-files.ts'
import { bytes, never, openDiskLogs, text } from '../fake/event-logs.ts'
import type { EventLogs } from '../../modules/eventlog/event-logs.ts'

const IS_FULL = process.env['NZ_FULL'] === '1'
const KILLS = IS_FULL ? 1_000 : 15
const TIMES = IS_FULL ? 1_000 : 80
const writer = join(import.meta.dirname, '..', 'fake', 'eventlog-writer.ts')
const all = { signal: never }

/** The lines a writer printed before it was killed, `afterMs` after its logs were open. */
async function killedWriter(dir: string, round: number, afterMs: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [writer, dir, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (some: string) => {
    if (printed === '') setTimeout(() => child.kill('SIGKILL'), afterMs)
    printed += some
  })
  await new Promise((resolve) => child.once('close', resolve))
  // The last line may have been cut.
  return printed.split('\n').slice(0, -1)
}

it(`loses nothing acknowledged in ${KILLS} kills, and proves itself each time`, { timeout: 3_600_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-log-crash-'))
  try {
    const acknowledged = new Map<number, string>()
    for (let round = 1; round <= KILLS; round++) {
      const [opened, ...lines] = await killedWriter(dir, round, Math.floor(Math.random() * 200))
      assert.equal(opened, 'open open')
      for (const line of lines) {
        const [sequence = '', said = ''] = line.split(' ')
        acknowledged.set(Number(sequence), said)
      }
      await using under = await openDiskLogs(dir, new StateFiles(dir))
      if (under.logs.list().length === 0) continue
      const { first } = under.logs.status('crash')
      const found = new Map<number, string>()
      for await (const item of under.logs.read('crash', all)) {
        if (item.type === 'entry') found.set(item.sequence, text(item.payload))
        else assert.equal(item.reason, 'trimmed')
      }
      for (const [sequence, said] of acknowledged) {
        if (sequence < first) acknowledged.delete(sequence)
        else assert.equal(found.get(sequence), said, `entry ${sequence} lost in round ${round}`)
      }
      const { isIntact, isWitnessed } = await under.logs.verify('crash', all)
      assert.deepEqual([isIntact, isWitnessed], [true, true])
    }
    assert.ok(acknowledged.size > 50)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

const saidOf = (n: number): string => `numbat ${n} ${'zz'.repeat(n % 300)}`

/** A used home and an older copy of it. */
async function usedHome(
  root: string,
): Promise<{ readonly used: string; readonly older: string; readonly count: number }> {
  const used = join(root, 'used')
  const older = join(root, 'older')
  await using under = await openDiskLogs(used, new StateFiles(used))
  let count = 0
  for (let part = 0; part < 8; part++) {
    const entries = Array.from({ length: 60 }, () => bytes(saidOf(++count)))
    for (let at = 0; at < 60; at += 7) await under.logs.append('audit', entries.slice(at, at + 7))
    await under.logs.rotate('audit')
    if (part === 5) {
      await under.logs.keepWitnesses()
      // A file on its way to its name may be gone before it is copied.
      await cp(used, older, { recursive: true, filter: (path) => !path.endsWith('.tmp') })
    }
  }
  return { used, older, count }
}

async function filesOf(dir: string): Promise<readonly string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile() && entry.parentPath.includes('eventlog'))
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1))
    .toSorted()
}

it(`gives no wrong entry and opens, ${TIMES} times`, { timeout: 3_600_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'nz-log-damage-'))
  const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random.unit() * n)
  const outcomes = { harmless: 0, found: 0 }
  try {
    const { used, older, count } = await usedHome(root)
    const names = await filesOf(used)
    for (const name of names) {
      const content = await readFile(join(used, name))
      for (const word of ['numbat', 'audit', 'zzzz']) assert.equal(content.includes(word), false, name)
    }
    for (let time = 0; time < TIMES; time++) {
      const dir = join(root, 'hurt')
      await rm(dir, { recursive: true, force: true })
      await cp(used, dir, { recursive: true })
      const name = names[below(names.length)] ?? ''
      const content = await readFile(join(dir, name))
      const at = below(content.length)
      const how = (['flip', 'cut', 'zero', 'remove', 'older', 'swap', 'grow', 'folder'] as const)[below(8)]
      if (how === 'flip') content[at] = (content[at] ?? 0) ^ (1 << below(8))
      if (how === 'zero') content.fill(0, at, Math.min(content.length, at + 512))
      if (how === 'flip' || how === 'zero') await writeFile(join(dir, name), content)
      if (how === 'cut') await truncate(join(dir, name), at)
      if (how === 'remove') await rm(join(dir, name))
      if (how === 'older') await cp(join(older, name), join(dir, name)).catch(() => undefined)
      if (how === 'swap') {
        const other = names[below(names.length)] ?? ''
        await rename(join(dir, name), join(dir, 'aside'))
        if (other !== name) await rename(join(dir, other), join(dir, name))
        await rename(join(dir, 'aside'), join(dir, other))
      }
      if (how === 'grow') await writeFile(join(dir, name), Buffer.concat([content, content.subarray(at)]))
      if (how === 'folder') {
        await rm(join(dir, 'eventlog'), { recursive: true })
        await cp(join(older, 'eventlog'), join(dir, 'eventlog'), { recursive: true })
      }
      const where = `${how} ${name} at ${at}, seed ${seed}, time ${time}`
      await using under = await openDiskLogs(dir, new StateFiles(dir))
      const isFound = await judge(under.logs, { count, where })
      outcomes[isFound ? 'found' : 'harmless'] += 1
    }
    assert.ok(outcomes.found > TIMES / 3, JSON.stringify(outcomes))
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})

/** Whether the damage was told; if not, every entry is there. Repaired, the log proves itself and goes on. */
async function judge(
  logs: EventLogs,
  { count, where }: { readonly count: number; readonly where: string },
): Promise<boolean> {
  const seen: number[] = []
  let code: unknown = null
  try {
    for await (const item of logs.read('audit', all)) {
      assert.equal(item.type, 'entry', where)
      if (item.type !== 'entry') continue
      assert.equal(text(item.payload), saidOf(item.sequence), where)
      seen.push(item.sequence)
    }
  } catch (error) {
    code = (error as { code?: unknown }).code
    assert.equal(code, 'NZ_LOG_DAMAGED', `${where} ${String(error)}`)
  }
  assert.deepEqual(
    seen,
    Array.from({ length: seen.length }, (_, at) => at + 1),
    where,
  )
  const proof = await logs.verify('audit', all)
  assert.equal(proof.isIntact, code === null, where)
  if (code === null) assert.equal(seen.length, count, where)
  await logs.repair('audit')
  assert.equal((await logs.verify('audit', all)).isIntact, true, where)
  assert.ok((await logs.append('audit', [bytes('on')])).first > count, where)
  return code !== null
}
