/**
 * `nzcore files` with a real daemon: a large file in constant memory, a put that is cut off, a daemon that is killed, a
 * file on the disk that is changed. Needs a build.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'

const MIB = 1_048_576
const SIZE_MIB = process.env['NZ_FULL'] === '1' ? 1_024 : 256
/** By how much the daemon may grow while a file of any size passes. */
const GROWTH_BYTES = 48 * MIB
const launcher = join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')

let home: string
let pid: number
before(async () => {
  home = await mkdtemp(join(tmpdir(), 'nzf-'))
  await writeFile(join(home, 'config.toml'), '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n', { mode: 0o600 })
  await up()
})
after(async () => {
  await nzcore('down')
  await rm(home, { recursive: true, force: true })
})

function start(...args: readonly string[]) {
  const { NZ_PROFILE: _, NZ_PASSPHRASE_FD: __, NZ_PASSPHRASE_FILE: ___, ...inherited } = process.env
  return spawn(process.execPath, [launcher, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...inherited, HOME: home, NZ_HOME: home },
  })
}

async function nzcore(...args: readonly string[]) {
  const child = start(...args)
  child.stdin.end()
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr += text))
  const [code] = (await once(child, 'close')) as [number]
  return { code, stdout, stderr }
}

async function up(): Promise<void> {
  const { code, stdout } = await nzcore('up', '--json')
  assert.equal(code, 0, stdout)
  pid = (JSON.parse(stdout) as { pid: number }).pid
}

const stored = (): string => join(home, 'state', 'default', 'files')

async function memory(field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1_024
}

/** A piece that is another one each time. */
function pieceOf(n: number): Uint8Array {
  const piece = Buffer.alloc(MIB, `piece ${n} of the file; `)
  piece.writeUInt32BE(n)
  return piece
}

it(`takes ${SIZE_MIB} MiB and gives them back in constant memory`, { timeout: 600_000 }, async () => {
  // The first use loads code.
  await writeFile(join(home, 'small'), 'small')
  assert.equal((await nzcore('files', 'put', 'small', join(home, 'small'))).code, 0)
  const idle = await memory('VmRSS')
  const put = start('files', 'put', 'large', '-', '--json')
  const said = readAll(put.stdout)
  const hash = createHash('sha256')
  for (let n = 0; n < SIZE_MIB; n++) {
    const piece = pieceOf(n)
    hash.update(piece)
    if (!put.stdin.write(piece)) await once(put.stdin, 'drain')
  }
  put.stdin.end()
  const contentId = hash.digest('hex')
  assert.equal((JSON.parse(await said) as { file: { contentId: string } }).file.contentId, contentId)

  assert.equal((await nzcore('files', 'get', 'large', join(home, 'large'))).code, 0)
  const got = createHash('sha256')
  for await (const bytes of createReadStream(join(home, 'large'))) got.update(bytes as Uint8Array)
  assert.equal(got.digest('hex'), contentId)
  assert.equal((await nzcore('files', 'verify')).code, 0)
  const from = 100 * MIB - 3
  const part = await nzcore('files', 'get', 'large', '-', '--range', `${from}-${from + 2}`)
  assert.equal(part.stdout, Buffer.from(pieceOf(99)).subarray(-3).toString())
  const growth = (await memory('VmHWM')) - idle
  assert.ok(growth < GROWTH_BYTES, `the daemon grew by ${Math.round(growth / MIB)} MiB`)
})

it('keeps nothing of a put that is cut off', { timeout: 60_000 }, async () => {
  const put = start('files', 'put', 'cut', '-')
  put.stdin.on('error', () => undefined)
  for (let n = 0; n < 20; n++) put.stdin.write(pieceOf(n))
  await until(async () => (await readdir(stored())).some((name) => name.endsWith('.tmp')))
  put.kill('SIGKILL')
  await until(async () => !(await readdir(stored())).some((name) => name.endsWith('.tmp')))
  assert.equal((await nzcore('files', 'info', 'cut')).code, 5)
})

it('sweeps at its start what a killed daemon has left', { timeout: 60_000 }, async () => {
  const put = start('files', 'put', 'killed', '-')
  put.stdin.on('error', () => undefined)
  const ended = once(put, 'close')
  for (let n = 0; n < 20; n++) put.stdin.write(pieceOf(n))
  await until(async () => (await readdir(stored())).some((name) => name.endsWith('.tmp')))
  process.kill(pid, 'SIGKILL')
  const [code] = (await ended) as [number]
  assert.notEqual(code, 0)
  await up()
  assert.deepEqual(
    (await readdir(stored())).filter((name) => !/^[0-9a-f]{64}$/.test(name)),
    [],
  )
  assert.equal((await nzcore('files', 'verify')).code, 0)
})

it('says what is damaged, sets it aside and goes on', { timeout: 60_000 }, async () => {
  const { size } = (await smallest()) ?? { size: 0 }
  const found = await smallest()
  assert.ok(found !== null && size > 65_536)
  assert.equal((await stat(found.path)).mode & 0o777, 0o600)
  const handle = await open(found.path, 'r+')
  await handle.write(Uint8Array.of(0xff, 0xfe), 0, 2, 500)
  await handle.close()
  const got = await nzcore('files', 'get', 'small', '-')
  assert.deepEqual([got.code, got.stdout], [11, ''])
  assert.match(got.stderr, /NZ_FILES_DAMAGED/)
  assert.equal((await nzcore('files', 'verify')).code, 11)
  assert.equal((await readdir(join(stored(), 'damaged'))).length, 1)
  assert.equal((await nzcore('files', 'put', 'small', join(home, 'small'), '--force')).code, 0)
  assert.equal((await nzcore('files', 'get', 'small', '-')).stdout, 'small')
})

async function smallest(): Promise<{ readonly path: string; readonly size: number } | null> {
  const names = (await readdir(stored())).filter((name) => /^[0-9a-f]{64}$/.test(name))
  const found = await Promise.all(
    names.map(async (name) => ({ path: join(stored(), name), size: (await stat(join(stored(), name))).size })),
  )
  return found.toSorted((a, b) => a.size - b.size)[0] ?? null
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  for await (const part of stream) text += String(part)
  return text
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (await isSo()) return
    await setTimeout(10)
  }
  assert.fail('it did not happen in time')
}
