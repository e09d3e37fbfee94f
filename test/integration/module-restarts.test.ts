/** The modules a node is made of, each of which fails once: every one of them comes back, with what depends on it. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { nodeModules } from '../../cli/node.ts'
import { Kernel, kernelEvents, KernelService, provide, resolveConfig, systemClock } from '../../kernel/index.ts'
import { ConfigLayersService } from '../../modules/config/service.ts'
import { createJournal } from '../../modules/logs/index.ts'
import { LogsService } from '../../modules/logs/service.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { AnyModule, Logger, ModuleContext, ServicesOf, ServiceTokens } from '../../kernel/index.ts'

/** Resolves when every module of `kernel` runs. */
async function whole(kernel: Kernel, signal: AbortSignal): Promise<void> {
  while (kernel.state !== 'running') {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    kernel.events.on(kernelEvents.moduleStateChanged, () => resolve(), { signal })
    await promise
  }
}

/** The same modules, with a way to make each fail. */
function breakable(modules: readonly AnyModule[], contexts: Map<string, ModuleContext>): AnyModule[] {
  return modules.map((module) => ({
    ...module,
    restart: 'permanent',
    setup(context: ModuleContext, services: ServicesOf<ServiceTokens>, config: unknown) {
      contexts.set(module.name, context)
      return module.setup(context, services, config)
    },
  }))
}

describe('a node', () => {
  it('runs again whichever of its modules fails, and then stops cleanly', async () => {
    const root = await mkdtemp(join(tmpdir(), 'nz-restarts-'))
    const logged: string[] = []
    const log: Logger = {
      debug() {},
      info() {},
      warn: (event, fields) => void logged.push(`${event} ${JSON.stringify(fields)}`),
      error: (event) => void logged.push(event),
    }
    const env = { NZ_HOME: root }
    const contexts = new Map<string, ModuleContext>()
    const modules = breakable(await nodeModules({ env }), contexts)
    const values = { home: homeOf({ env }), network: { listen: ['/ip4/127.0.0.1/tcp/0'] } }
    const kernel = new Kernel({
      modules,
      config: resolveConfig({ modules, layers: [{ origin: 'composition', values }] }),
      services: [
        provide(LogsService, createJournal({ level: 'info', clock: systemClock })),
        provide(ConfigLayersService, { read: async () => [] }),
      ],
      supervision: { firstDelayMs: 5 },
      strictEvents: true,
      log,
    })
    try {
      await kernel.start()
      for (const name of contexts.keys()) {
        const signal = AbortSignal.timeout(60_000)
        contexts.get(name)?.fail(new Error(`${name} fails for this test`))
        assert.equal(kernel.state, 'degraded')
        await whole(kernel, signal)
      }
      const states = kernel.get(KernelService).modules()
      assert.deepEqual(
        states.map(({ name, restarts }) => ({ name, restarts })),
        states.map(({ name }) => ({ name, restarts: 1 })),
      )
    } finally {
      await kernel.stop()
      await rm(root, { recursive: true, force: true })
    }
    const unexpected = logged.filter((line) => !/^kernel\.(moduleFailed|restartScheduled)/.test(line))
    assert.deepEqual(unexpected, [])
  })
})
