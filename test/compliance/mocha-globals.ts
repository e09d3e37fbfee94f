/**
 * The globals that libp2p's compliance suites expect of their runner, on node:test. Import it before a suite.
 *
 * The suites depend on aegir for its configured `chai` alone; test/compliance/aegir-shim stands in for it.
 *
 * A test that cannot hold for what is tested is left out by name, with a reason that is printed.
 */
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'

type Body = (this: object) => unknown

const context = { timeout() {}, skip() {} }

/** Runs `body` with what mocha calls its context. */
function inContext(body: Body): () => unknown {
  return () => body.call(context)
}

const leftOut = new Map<string, string>()

export function leaveOut(name: string, reason: string): void {
  leftOut.set(name, reason)
}

const hurried = new Set<string>()
const PATIENCE_MS = 30_000

/**
 * For a test that asks after a few milliseconds for what crosses threads and a socket: it counts when it holds in one of
 * its tries, for another process may have the cores. What is wrong stays wrong in all.
 */
export function tryAgain(name: string): void {
  hurried.add(name)
}

async function inSomeTry(name: string, body: Body): Promise<void> {
  const untilMs = performance.now() + (hurried.has(name) ? PATIENCE_MS : 0)
  for (;;) {
    try {
      await body.call(context)
      return
    } catch (error) {
      if (performance.now() >= untilMs) throw error
      await setImmediate()
    }
  }
}

function test(name: string, body?: Body): void {
  const reason = leftOut.get(name)
  if (body === undefined) it(name, { todo: 'the suite gives no more than its name' })
  else it(name, reason === undefined ? {} : { skip: reason }, async () => await inSomeTry(name, body))
}

Object.assign(globalThis, {
  describe: (name: string, body: Body) => describe(name, inContext(body) as () => void),
  it: test,
  before,
  after,
  beforeEach,
  afterEach,
})
