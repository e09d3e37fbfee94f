/**
 * Opens damaged homes one after another, as a node would open identity and store, and says what came of it: a process
 * of its own, so that LevelDB's end is seen.
 *
 *   node damage-opener.ts '{"writers":[…]}' < (a line for each home) > (a line for each outcome)
 */
import { createInterface } from 'node:readline'
import { isNzError } from '../../kernel/index.ts'
import { NAMESPACE } from './lean-node.ts'
import { lossIn, openStoreOf, storeRootOf } from './store-folder.ts'
import { WritePlan } from './write-plan.ts'

/** What was acknowledged to each of the writers. */
export interface OpenerOptions {
  readonly seed: number
  readonly done: readonly number[]
}

/** `wrong` begins what must never come. */
async function outcomeOf(home: string, plans: readonly WritePlan[]): Promise<string> {
  let root
  try {
    root = await storeRootOf(home)
  } catch (error) {
    return isNzError(error) ? error.code : `wrong: ${String(error)}`
  }
  const { storage } = await openStoreOf(home, root)
  try {
    const { code, state } = storage.status()
    const loss = await lossIn(storage, NAMESPACE, plans)
    if (loss === null) return code ?? 'harmless'
    const refused = /^(NZ_STORAGE_(?:DAMAGED|UNAVAILABLE)) /.exec(loss)?.[1]
    if (state === 'open' && refused === undefined) return `wrong: ${loss}`
    return await repaired(storage, code ?? refused ?? `wrong: ${loss}`)
  } finally {
    await storage.close()
  }
}

/** The way out that the error names. */
async function repaired(storage: Awaited<ReturnType<typeof openStoreOf>>['storage'], code: string): Promise<string> {
  if (code !== 'NZ_STORAGE_DAMAGED') return code
  try {
    await storage.repair()
    await storage.namespace('after').put('a', new Uint8Array(1))
  } catch (error) {
    return `wrong: repair: ${String(error)}`
  }
  return storage.status().state === 'open' ? code : `wrong: after the repair it is ${storage.status().state}`
}

if (import.meta.main) {
  process.umask(0o077)
  const { seed, done } = JSON.parse(process.argv[2] ?? '') as OpenerOptions
  const plans = done.map((steps, writer) => {
    const plan = new WritePlan({ seed, writer, hasBatches: true })
    plan.advanceTo(steps)
    return plan
  })
  for await (const home of createInterface({ input: process.stdin })) {
    process.stdout.write(`${await outcomeOf(home, plans)}\n`)
  }
}
