/** Two daemons with homes of their own, introduced through the command line: invite, join, contacts, forward, restart. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { createClient } from '../../sdk/client.ts'
import { converse, echoServer } from '../fake/tcp.ts'

const program = join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
const listen = 'network.listen=["/ip4/127.0.0.1/tcp/0"]'

interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One machine: an environment of its own, and the command line in it. */
class Machine {
  readonly root: string
  readonly env: NodeJS.ProcessEnv

  constructor(root: string) {
    this.root = root
    this.env = { PATH: process.env['PATH'], HOME: root, NZ_HOME: join(root, 'nz') }
  }

  get client() {
    return createClient({ socketPath: homeOf({ env: this.env }).socketPath })
  }

  async run(...argv: readonly string[]): Promise<Run> {
    return await new Promise((resolve) => {
      execFile(process.execPath, [program, ...argv], { env: this.env, timeout: 40_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
      })
    })
  }

  /** As `run`, with `input` on standard input. */
  async runWith(input: string, ...argv: readonly string[]): Promise<Run> {
    const child = spawn(process.execPath, [program, ...argv], { env: this.env, timeout: 40_000 })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
    child.stdin.end(input)
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code: code ?? -1, ...output }
  }

  async up(name: string): Promise<void> {
    const { code, stderr, stdout } = await this.run('up', '--set', listen, '--set', `contacts.name=${name}`)
    assert.equal(code, 0, `${stdout}${stderr}`)
  }

  async json<Answer>(...argv: readonly string[]): Promise<Answer & { readonly code?: string }> {
    const { stdout, stderr } = await this.run(...argv, '--json')
    assert.notEqual(stdout, '', stderr)
    return JSON.parse(stdout) as Answer & { readonly code?: string }
  }

  async pid(): Promise<number> {
    return (await this.client.nodeStatus({})).pid
  }
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(120_000)
  while (!(await isTrue())) {
    limit.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('two daemons', () => {
  let root = ''
  let desk = new Machine('')
  let laptop = new Machine('')

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'nz-join-'))
    desk = new Machine(join(root, 'desk'))
    laptop = new Machine(join(root, 'laptop'))
    await Promise.all([desk.up('desk'), laptop.up('laptop')])
  })

  after(async () => {
    await Promise.all([desk.run('down'), laptop.run('down')])
    await rm(root, { recursive: true, force: true })
  })

  it('show the same words on both sides, and make nobody a contact when one declines', async () => {
    const { ticket, invite } = await desk.json<{ ticket: string; invite: { inviteId: string } }>('invite')
    const { join: joining } = await laptop.client.joinsStart({ ticket })
    // The last word of the handshake may still be on its way to the desk.
    let [seen] = (await desk.client.joinsList({})).joins
    await until(async () => {
      ;[seen] = (await desk.client.joinsList({})).joins
      return (seen?.words.length ?? 0) > 0
    })
    assert.deepEqual(joining.words, seen?.words)
    assert.equal(joining.words.length, 4)
    await laptop.client.joinsDecide({ joinId: joining.joinId, accepts: true })
    await desk.client.joinsDecide({ joinId: seen?.joinId ?? '', accepts: false })
    await assert.rejects(
      async () => {
        for await (const _change of laptop.client.joinsWatch({ joinId: joining.joinId })) continue
      },
      { code: 'NZ_JOIN_DECLINED', exit: 'refusedByTrust' },
    )
    await until(async () => {
      const { invites } = await desk.client.invitesList({})
      return invites.find(({ inviteId }) => inviteId === invite.inviteId)?.state === 'declined'
    })
    for (const machine of [desk, laptop]) assert.deepEqual((await machine.client.contactsList({})).contacts, [])
  })

  it('forget nothing when the inviter is killed between use and acceptance', async () => {
    const { ticket } = await desk.json<{ ticket: string }>('invite')
    const { join: joining } = await laptop.client.joinsStart({ ticket })
    process.kill(await desk.pid(), 'SIGKILL')
    await assert.rejects(
      async () => {
        for await (const _change of laptop.client.joinsWatch({ joinId: joining.joinId })) continue
      },
      { code: 'NZ_JOIN_LOST' },
    )
    await desk.up('desk')
    const { invites } = await desk.client.invitesList({})
    assert.equal(invites[0]?.state, 'claimed')
    for (const machine of [desk, laptop]) assert.deepEqual((await machine.client.contactsList({})).contacts, [])
  })

  it('become contacts by --yes on both sides, with the ticket on standard input', async () => {
    const { ticket } = await desk.json<{ ticket: string }>('invite', '--yes')
    const joined = await laptop.runWith(`${ticket}\n`, 'join', '-', '--yes')
    assert.equal(joined.code, 0, joined.stderr)
    assert.match(joined.stdout, /✔ invite verified · desk · \/ip4\/127\.0\.0\.1\/tcp\/\d+/)
    assert.match(joined.stdout, /✔ desk is a contact now {2}nz1\w+/)
    await until(async () => (await desk.client.contactsList({})).contacts.length === 1)
    assert.match((await desk.run('contacts')).stdout, /laptop +nz1\S+ +connected +invite/)
    const again = await laptop.json('join', ticket, '--yes')
    assert.equal(again.code, 'NZ_INVITE_USED')
    assert.equal((await laptop.run('join', ticket, '--yes')).code, 7)
  })

  it('refuse altered, malformed, own and revoked tickets with their codes, and joins without a terminal', async () => {
    const { ticket, invite } = await desk.json<{ ticket: string; invite: { inviteId: string } }>('invite')
    const altered = `${ticket.slice(0, -1)}${ticket.endsWith('q') ? 'p' : 'q'}`
    assert.equal((await laptop.json('join', altered, '--yes')).code, 'NZ_INVITE_ALTERED')
    assert.equal((await laptop.json('join', 'hello', '--yes')).code, 'NZ_INVITE_MALFORMED')
    assert.equal((await desk.json('join', ticket, '--yes')).code, 'NZ_INVITE_SELF')
    assert.equal((await laptop.json('join', ticket)).code, 'NZ_CLI_WORDS_NOT_SHOWN')
    assert.equal((await desk.run('invite', 'revoke', invite.inviteId)).code, 0)
    assert.equal((await laptop.json('join', ticket, '--yes')).code, 'NZ_INVITE_REVOKED')
    const short = await desk.json<{ ticket: string }>('invite', '--expires', '10s')
    await new Promise((resolve) => setTimeout(resolve, 10_100))
    assert.equal((await laptop.json('join', short.ticket, '--yes')).code, 'NZ_INVITE_EXPIRED')
  })

  it('keep the secret of a ticket out of their files and logs', async () => {
    const { ticket } = await desk.json<{ ticket: string }>('invite')
    const { stateDir } = homeOf({ env: desk.env })
    const files = (await readdir(stateDir, { recursive: true, withFileTypes: true })).filter((one) => one.isFile())
    assert.ok(files.some(({ parentPath }) => parentPath.endsWith('store')))
    for (const { parentPath, name } of files) {
      assert.ok(!(await readFile(join(parentPath, name))).includes(ticket.slice(20, 60)), name)
    }
    const log = await readFile(join(homeOf({ env: desk.env }).logDir, 'nzcore.log'), 'utf8').catch(() => '')
    assert.ok(!log.includes('nzi1'))
  })

  it('carry a TCP service: 64 MiB there and back, intact, and again after a restart', async () => {
    await using echo = await echoServer()
    const exposed = await desk.run('forward', 'expose', 'echo', '--to', `127.0.0.1:${echo.port}`, '--allow', 'laptop')
    assert.equal(exposed.code, 0, exposed.stderr)
    const { forward } = await laptop.json<{ forward: { address: string } }>('forward', 'desk', 'echo')
    const port = Number(forward.address.split(':').at(-1))
    const bytes = Buffer.alloc(64 * 1024 * 1024, seededRandom(7).bytes(65_537))
    const { received, errorCode } = await converse(port, bytes)
    assert.equal(errorCode, null)
    assert.equal(Buffer.compare(received, bytes), 0)
    const { forwards } = await laptop.client.forwardsList({})
    assert.deepEqual([forwards[0]?.txBytes, forwards[0]?.rxBytes], [bytes.length, bytes.length])

    process.kill(await desk.pid(), 'SIGKILL')
    assert.equal((await converse(port, Buffer.from('x'))).received.length, 0)
    await desk.up('desk')
    // The restarted node dials its contact by itself: nobody told the laptop the new port.
    await until(async () => (await laptop.client.contactsList({})).contacts[0]?.state === 'connected')
    assert.equal((await converse(port, Buffer.from('again'))).received.toString(), 'again')
    const absent = await laptop.json<{ forward: { address: string; forwardId: string } }>('forward', 'desk', 'absent')
    await converse(Number(absent.forward.address.split(':').at(-1)), Buffer.from('x'))
    const listed = await laptop.run('forward', 'list')
    assert.match(listed.stdout, /absent .* NZ_FORWARD_SERVICE_UNKNOWN/)
  })
})
