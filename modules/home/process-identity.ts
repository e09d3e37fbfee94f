/**
 * Which process is which, so that a pid that was given to another process since is not taken for its former owner.
 *
 * Linux: pid, start time in clock ticks since boot (proc(5), stat field 22) and the boot's id. Elsewhere the pid alone.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { isErrno } from '../../kernel/index.ts'

export const ProcessIdentity = z.strictObject({
  pid: z.number().int().positive(),
  /** Clock ticks from boot to the start of the process; `null` where the system does not tell. */
  startTicks: z.number().int().min(0).nullable(),
  /** Id of this boot of the machine; `null` where the system does not tell. */
  bootId: z.string().nullable(),
})
export type ProcessIdentity = z.infer<typeof ProcessIdentity>

/** The calling process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const stat = await statOf(process.pid)
  return { pid: process.pid, startTicks: stat?.startTicks ?? null, bootId: await bootId() }
}

/** Whether that very process still runs. One that has ended but was not collected by its parent runs no more. */
export async function isRunning({ pid, startTicks, bootId: boot }: ProcessIdentity): Promise<boolean> {
  if (!doesPidExist(pid)) return false
  if (startTicks === null || boot === null) return true
  if (boot !== (await bootId())) return false
  const stat = await statOf(pid)
  return stat !== null && stat.startTicks === startTicks && !'ZX'.includes(stat.state)
}

function doesPidExist(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return isErrno(error, 'EPERM')
  }
}

async function statOf(pid: number): Promise<{ state: string; startTicks: number } | null> {
  const text = await readText(`/proc/${pid}/stat`)
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const state = fields?.[0]
  const startTicks = Number(fields?.[19])
  return state === undefined || !Number.isSafeInteger(startTicks) ? null : { state, startTicks }
}

async function bootId(): Promise<string | null> {
  return (await readText('/proc/sys/kernel/random/boot_id'))?.trim() ?? null
}

/** `null` when the system has no such file. */
async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return null
  }
}
