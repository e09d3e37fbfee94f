/** A node as this process: starts it, tells when it is ready, stops it within bounds on signals and on faults. */
import { kernelEvents, KernelService, NzError, systemClock } from '../kernel/index.ts'
import { cliErrors } from './errors.ts'
import { composeNode } from './node.ts'
import { trimHeap } from './trim-heap.ts'
import type { ComposedNode, NodeInit } from './node.ts'
import type { ErrorDocument } from '../kernel/index.ts'

/** How long stopping may take altogether; after it the process ends as it is. */
export const STOP_TIMEOUT_MS = 10_000

/** Time for what the start left to do. */
const TRIM_DELAY_MS = 500

/** What a starting daemon tells the process that waits for it. */
export type DaemonReport =
  | { readonly state: 'ready'; readonly readyMs: number; readonly isNewIdentity: boolean }
  | { readonly state: 'failed'; readonly error: ErrorDocument }

/** The parts of `process` that a daemon uses. */
export interface DaemonProcess {
  on(event: 'SIGHUP' | 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown
  exit(code: number): void
}

export interface DaemonInit extends NodeInit {
  readonly process: DaemonProcess
  /** Asks the node to stop. */
  readonly signal: AbortSignal
  readonly report: (report: DaemonReport) => void
}

/** Runs a node until it is told to stop. @throws what kept it from starting or ended it out of order */
export async function runDaemon({ process, signal, report, ...init }: DaemonInit): Promise<void> {
  try {
    const node = await composeNode(init)
    try {
      await runNode(node, { process, signal, report })
    } finally {
      node.journal.close()
    }
  } catch (error) {
    const failure = asNzError(error)
    report({ state: 'failed', error: failure.toDocument() })
    throw failure
  }
}

async function runNode(
  node: ComposedNode,
  { process, signal, report }: Pick<DaemonInit, 'process' | 'signal' | 'report'>,
): Promise<void> {
  const { kernel, journal } = node
  let fault: NzError | null = null
  const boundStop = (reason: string): void => {
    systemClock.setTimer(
      STOP_TIMEOUT_MS,
      () => {
        journal.error('daemon.stopTimedOut', { reason, stopTimeoutMs: STOP_TIMEOUT_MS })
        journal.close()
        process.exit(1)
      },
      { unref: true },
    )
  }
  const stop = (reason: string): void => {
    boundStop(reason)
    kernel.stop(reason).catch((error: unknown) => journal.error('daemon.stopFailed', { error }))
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      fault ??= cliErrors.NZ_CLI_DAEMON_FAULT({ cause: error, data: { event } })
      journal.error('daemon.fault', { code: fault.code, event, error })
      stop(fault.code)
    })
  }
  // The API and the kernel itself may ask for a stop as well.
  kernel.events.on(kernelEvents.stopRequested, ({ reason }) => boundStop(reason), {
    signal: new AbortController().signal,
  })
  process.on('SIGHUP', () => void reload(node))
  try {
    await kernel.start()
  } catch (error) {
    journal.error('daemon.startFailed', { error })
    throw fault ?? error
  }
  // The machine's monotonic clock counts from the start of the process.
  const readyMs = Math.round(systemClock.monotonicMs())
  journal.info('daemon.ready', { readyMs })
  report({ state: 'ready', readyMs, isNewIdentity: node.isNewIdentity() })
  systemClock.setTimer(TRIM_DELAY_MS, trimHeap, { unref: true })
  if (signal.aborted) stop('signal')
  signal.addEventListener('abort', () => stop('signal'), { once: true })
  const { reason, error } = await kernel.stopped
  journal.info('daemon.stopped', { reason })
  if (fault !== null || error !== null) throw fault ?? error
}

/** A configuration with mistakes changes nothing; the mistakes are in the log. */
async function reload({ kernel, journal, readLayers }: ComposedNode): Promise<void> {
  try {
    const { reloaded, needRestart } = await kernel.get(KernelService).reload(await readLayers())
    journal.info('daemon.configReloaded', { reloaded, needRestart })
  } catch (error) {
    journal.error('daemon.reloadFailed', { error })
  }
}

function asNzError(error: unknown): NzError {
  if (error instanceof NzError) return error
  return cliErrors.NZ_CLI_UNEXPECTED({ why: error instanceof Error ? error.message : String(error), cause: error })
}
