/** All checks over one subject: side by side, each with a deadline, none able to spoil the others. */
import { deadline } from '../../kernel/index.ts'
import { checkBackend } from './check-backend.ts'
import { checkConfig, checkFolders, checkIdentity, checkSpace, checkState } from './check-home.ts'
import { checkModules } from './check-modules.ts'
import { checkAddresses, checkNames, checkPorts, checkSocket } from './check-network.ts'
import { checkReachability } from './check-reachability.ts'
import { checkClock, checkDescriptors, checkIoUring, checkNode } from './check-runtime.ts'
import { doctorErrors } from './service.ts'
import { warn } from './subject.ts'
import type { Check, Subject } from './subject.ts'
import type { Diagnosis, Finding } from './service.ts'

/** In the order they are told. */
const checks: readonly Check[] = [
  checkNode,
  checkClock,
  checkDescriptors,
  checkIoUring,
  checkFolders,
  checkState,
  checkSpace,
  checkConfig,
  checkIdentity,
  checkSocket,
  checkPorts,
  checkAddresses,
  checkReachability,
  checkNames,
  checkBackend,
  checkModules,
]

const CHECK_TIMEOUT_MS = 5_000

export async function examine(subject: Subject, { signal }: { readonly signal: AbortSignal }): Promise<Diagnosis> {
  signal.throwIfAborted()
  const found = await Promise.all(checks.map(async (check) => await run(check, subject, signal)))
  const findings = found.flat()
  const has = (state: Finding['state']): boolean => findings.some((finding) => finding.state === state)
  return {
    state: has('fail') ? 'fail' : has('warn') ? 'warn' : 'ok',
    isNodeRunning: subject.node !== null,
    findings,
  }
}

async function run(check: Check, subject: Subject, signal: AbortSignal): Promise<readonly Finding[]> {
  const name = check.name.replace(/^check/, '').toLowerCase()
  using limit = deadline(subject.clock, CHECK_TIMEOUT_MS, { signal })
  const { promise: over, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(limit.signal.reason as Error)
  limit.signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([check(subject, { signal: limit.signal }), over])
  } catch (error) {
    signal.throwIfAborted()
    const { message, fix } = doctorErrors.NZ_DOCTOR_CHECK_FAILED({ cause: error, data: { check: name } })
    const why = limit.isOver ? `no answer within ${CHECK_TIMEOUT_MS / 1_000} s` : String(error)
    return [warn(name, `${message}: ${why}`, ...fix)]
  } finally {
    limit.signal.removeEventListener('abort', onAbort)
  }
}
