/** What a daemon does about an error that nothing handled. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { runDaemon } from '../../cli/daemon.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { DaemonReport } from '../../cli/daemon.ts'

class FakeProcess extends EventEmitter {
  exit(code: number): void {
    this.emit('exit', code)
  }
}

for (const event of ['uncaughtException', 'unhandledRejection']) {
  it(`${event}: it is logged with a code, and the node stops in order`, { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nzf-'))
    const env = { NZ_HOME: folder }
    const home = homeOf({ env })
    const fake = new FakeProcess()
    const reported = new EventEmitter()
    try {
      const running = runDaemon({
        home,
        env,
        flags: ['network.listen=/ip4/127.0.0.1/tcp/0'],
        process: fake,
        signal: new AbortController().signal,
        report: (report) => reported.emit(report.state, report),
      })
      const [report]: DaemonReport[] = (await once(reported, 'ready')) as [DaemonReport]
      assert.equal(report?.state, 'ready')
      fake.emit(event, new Error('boom'))
      await assert.rejects(running, { code: 'NZ_CLI_DAEMON_FAULT', exit: 'failed' })
      const log = readFileSync(join(home.logDir, 'nzcore.log'), 'utf8')
      assert.match(log, /"level":"error".*NZ_CLI_DAEMON_FAULT.*boom.*"daemon\.fault"/)
      assert.match(log, /daemon\.stopped/)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
}
