/** The commands that are the node: in the foreground of a terminal, or in the background for the one that started it. */
import { closeSync, writeSync } from 'node:fs'
import { runDaemon } from './daemon.ts'
import { restartUnderFlags } from './node-flags.ts'
import { READY_FD } from './spawn-daemon.ts'
import { escapeText, formatTime } from './text.ts'
import { trimHttp } from './trim-http.ts'
import type { CliContext } from './command.ts'
import type { NodeInit } from './node.ts'

/** Runs the node until it is told to stop; its log shows on stderr as it is written. */
export async function runForeground(context: CliContext, flags: readonly string[]): Promise<void> {
  restartUnderFlags(process)
  prepareProcess()
  const { home, env, output, signal } = context
  const mirror: NodeInit['mirror'] = ({ atMs, level, event, fields }) => {
    const time = formatTime(atMs, { nowMs: atMs })
    output.note(`${time} ${level.padEnd(5)} ${event} ${escapeText(JSON.stringify(fields))}`)
  }
  await runDaemon({ home, env, flags, signal, process, mirror, report: () => undefined })
}

/** Runs the node and reports over the inherited pipe that it is ready, or why it is not. */
export async function runForParent({ home, env, signal }: CliContext, flags: readonly string[]): Promise<void> {
  let isReported = false
  prepareProcess()
  process.title = `nzcore ${home.profile}`
  await runDaemon({
    home,
    env,
    flags,
    signal,
    process,
    report(report) {
      if (isReported) return
      isReported = true
      try {
        writeSync(READY_FD, `${JSON.stringify(report)}\n`)
        closeSync(READY_FD)
      } catch {
        // The one that started the node has stopped waiting; the node goes on, and its log tells the rest.
      }
    },
  })
}

function prepareProcess(): void {
  // Whatever makes a file, LevelDB's own code included, makes it for the owner alone.
  process.umask(0o077)
  trimHttp()
}
