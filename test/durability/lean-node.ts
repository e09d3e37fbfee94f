/**
 * A node without its network, as a process: every module there is but `network`, which is a fake that reaches nobody,
 * on a real home. It starts in half the time of a daemon and writes to the disk as that does. Beside the local API it
 * runs writers of its own, which write batches.
 *
 *   NZ_HOME=<folder> node lean-node.ts '{"seed":1,"done":[0,0],"rotateEvery":300,"stepLimit":100}'
 *
 * stdout: `found [steps of each writer]`, or `lost <why>`; `ready`; then `ack <writer> <steps>` for each step that was
 * acknowledged, and `done` after the last. Ends on SIGTERM.
 */
import { existsSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { Kernel, provide, resolveConfig, systemClock } from '../../kernel/index.ts'
import { ConfigLayersService } from '../../modules/config/service.ts'
import { createJournal } from '../../modules/logs/index.ts'
import { LogsService } from '../../modules/logs/service.ts'
import { NetworkService } from '../../modules/network/service.ts'
import { StorageService } from '../../modules/storage/service.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { WritePlan } from './write-plan.ts'
import type { AnyModule } from '../../kernel/index.ts'
import type { Namespace } from '../../modules/storage/service.ts'

export interface LeanNodeOptions {
  readonly seed: number
  /** For each writer the steps that were acknowledged so far. */
  readonly done: readonly number[]
  /** The keys of the store are changed after this many steps of the first writer; 0: never. */
  readonly rotateEvery: number
  /** Steps that each writer takes at most in this run. */
  readonly stepLimit?: number
  readonly config?: Readonly<Record<string, unknown>>
}

export const NAMESPACE = 'durability'

if (import.meta.main) await run(JSON.parse(process.argv[2] ?? '') as LeanNodeOptions)

async function run(options: LeanNodeOptions): Promise<void> {
  process.umask(0o077)
  const home = homeOf({ env: process.env })
  const modules = await modulesOfNode()
  const values = { home, storage: { witnessIntervalMs: 200 }, ...options.config }
  const kernel = new Kernel({
    modules,
    config: resolveConfig({ modules, layers: [{ origin: 'composition', values }] }),
    services: [
      provide(LogsService, createJournal({ level: 'error', clock: systemClock })),
      provide(ConfigLayersService, { read: async () => [] }),
      provide(NetworkService, createFakeNetwork().add('nobody')),
    ],
    log: {
      debug() {},
      info() {},
      warn() {},
      error: (event, fields) => say(`error ${event} ${inspect(fields)}`),
    },
  })
  let isStopping = false
  process.on('SIGTERM', () => {
    isStopping = true
    void kernel.stop('SIGTERM').then(() => process.exit(0))
  })
  try {
    await kernel.start()
  } catch (error) {
    say(`failed ${String(error)} ${String(error instanceof Error ? error.cause : '')}`)
    process.exit(1)
  }
  const storage = kernel.get(StorageService)
  const namespace = storage.namespace(NAMESPACE)
  const plans = options.done.map((steps, writer) => {
    const plan = new WritePlan({ seed: options.seed, writer, hasBatches: true })
    plan.advanceTo(steps)
    return plan
  })
  const lost = await settled(namespace, plans)
  say(
    lost === null
      ? `found ${JSON.stringify(plans.map(({ steps }) => steps))}`
      : `lost ${storage.status().state} ${lost}`,
  )
  say('ready')
  await Promise.all(
    plans.map(async (plan, writer) => {
      for (let n = 0; n < (options.stepLimit ?? Infinity); n++) {
        try {
          await namespace.batch(plan.changes(plan.steps))
        } catch (error) {
          if (isStopping) return
          throw error
        }
        plan.advance()
        say(`ack ${writer} ${plan.steps}`)
        if (writer === 0 && options.rotateEvery > 0 && plan.steps % options.rotateEvery === 0) {
          storage.rotate({ signal: new AbortController().signal }).catch((error: unknown) => {
            // The store closes under it, in order.
            if (!isStopping) say(`error ${String(error)}`)
          })
        }
      }
    }),
  )
  say('done')
}

/** All modules by their folders, so that a new one takes part without being asked. */
async function modulesOfNode(): Promise<readonly AnyModule[]> {
  const folder = join(import.meta.dirname, '..', '..', 'modules')
  const names = readdirSync(folder).filter((name) => !['network', 'logs', 'config'].includes(name))
  const files = names.map((name) => join(folder, name, 'index.ts')).filter((file) => existsSync(file))
  const loaded = await Promise.all(files.map(async (file) => (await import(file)) as { default: AnyModule }))
  return loaded.map((module) => module.default)
}

async function settled(namespace: Namespace, plans: readonly WritePlan[]): Promise<string | null> {
  for (const plan of plans) {
    const found = new Map<string, Uint8Array>()
    try {
      for await (const { key, value } of namespace.range({ prefix: plan.prefix })) found.set(key, value)
    } catch (error) {
      return String(error)
    }
    const wrong = plan.settle(found)
    if (wrong !== null) return wrong
  }
  return null
}

/** A line that has left the process when this returns. */
function say(line: string): void {
  writeSync(1, `${line}\n`)
}
