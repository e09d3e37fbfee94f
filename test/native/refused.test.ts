/**
 * The daemon where io_uring is refused, as the seccomp profiles of containers refuse it: it runs on epoll, and says so and
 * why in status and doctor. Needs a build.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { clientOf } from '../durability/api-writers.ts'
import { NodeProcess } from '../durability/node-process.ts'
import { needsTracing } from '../durability/system-calls.ts'
import { whyNoNative } from '../fake/native-libp2p.ts'

const noNative = whyNoNative()
const { skip: noTracing } = needsTracing()

/** Makes the call fail before the kernel sees it, as a seccomp filter does. */
function refusing(error: string): readonly string[] {
  const calls = ['-e', 'trace=io_uring_setup', '-e', `inject=io_uring_setup:error=${error}`]
  return ['strace', '-D', '-f', '--seccomp-bpf', '-q', '-o', '/dev/null', '-e', 'signal=none', ...calls]
}

describe(
  'a system that refuses io_uring',
  { skip: noNative !== false ? noNative : noTracing, timeout: 180_000 },
  () => {
    for (const [error, why] of [
      ['EPERM', /not allowed here: a seccomp profile/],
      ['ENOSYS', /too old/],
      ['EMFILE', /io_uring fails: errno 24/],
    ] as const)
      it(`with ${error}: the daemon runs on epoll, and says why`, async () => {
        const home = await mkdtemp(join(tmpdir(), 'nz-refused-'))
        const node = NodeProcess.daemon([], { home, wrap: refusing(error) })
        try {
          assert.match(await node.line(/./), /"state":"ready"/)
          const client = clientOf(home)
          const { backend } = await client.nodeStatus({})
          assert.equal(backend.backend, 'epoll')
          assert.match(backend.reason ?? '', why)
          const { findings } = await client.doctorExamine({})
          const told = findings.find(({ check }) => check === 'network.backend')
          assert.equal(told?.state, 'ok')
          assert.match(told?.what ?? '', why)
        } finally {
          await node.kill()
          await rm(home, { recursive: true, force: true })
        }
      })
  },
)
