/** Writers of the owner's records through the local API, each after its plan, and the proof of what they find again. */
import { isNzError } from '../../kernel/index.ts'
import { createClient } from '../../sdk/index.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { WritePlan } from './write-plan.ts'
import type { NzClient } from '../../sdk/index.ts'
import type { PlannedChange } from './write-plan.ts'

export function clientOf(home: string): NzClient {
  return createClient({ socketPath: homeOf({ env: { NZ_HOME: home } }).socketPath })
}

export class ApiWriters {
  readonly plans: readonly WritePlan[]

  constructor({ seed, writers }: { readonly seed: number; readonly writers: number }) {
    this.plans = Array.from({ length: writers }, (_, i) => new WritePlan({ seed, writer: 100 + i, hasBatches: false }))
  }

  get steps(): number {
    return this.plans.reduce((sum, { steps }) => sum + steps, 0)
  }

  /** Writes until a call fails, as it does when the node is killed; the errors of those calls. */
  async write(
    client: NzClient,
    { stepLimit = Infinity }: { readonly stepLimit?: number } = {},
  ): Promise<readonly unknown[]> {
    return await Promise.all(
      this.plans.map(async (plan) => {
        for (let n = 0; n < stepLimit; n++) {
          try {
            for (const change of plan.changes(plan.steps)) await applied(client, change)
          } catch (error) {
            return error
          }
          plan.advance()
        }
        return null
      }),
    )
  }

  /** What is wrong with the records of the node; `null` when every acknowledged change is there and no half one. */
  async settle(client: NzClient): Promise<string | null> {
    const { storage } = await client.storageStatus({})
    if (!['open', 'rotating'].includes(storage.state)) return `the store is ${storage.state}: ${storage.why}`
    for (const plan of this.plans) {
      const wrong = plan.settle(await recordsOf(client, plan.prefix))
      if (wrong !== null) return wrong
    }
    return null
  }

  /**
   * The same of a store that takes no changes now: one that was refused may be there after all, or not, and a record of
   * which that is not known yet may be refused.
   */
  async settleReadOnly(client: NzClient): Promise<string | null> {
    for (const plan of this.plans) {
      try {
        const wrong = plan.fork().settle(await recordsOf(client, plan.prefix))
        if (wrong !== null) return wrong
      } catch (error) {
        if (!isNzError(error) || error.code !== 'NZ_STORAGE_UNAVAILABLE') throw error
      }
    }
    return null
  }
}

async function recordsOf(client: NzClient, prefix: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const { records } = await client.kvList({ prefix, limit: 1_000 })
  const found = new Map<string, Uint8Array>()
  for (const { key } of records) {
    const { record } = await client.kvGet({ key })
    found.set(key, Buffer.from(record.value, record.encoding === 'text' ? 'utf8' : 'base64'))
  }
  return found
}

async function applied(client: NzClient, change: PlannedChange): Promise<void> {
  if (change.type === 'delete') await client.kvDelete({ key: change.key })
  else await client.kvPut({ key: change.key, value: Buffer.from(change.value).toString(), encoding: 'text' })
}
