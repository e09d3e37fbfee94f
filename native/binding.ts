/**
 * The only loader of the native session engine (src/), and its face. Loading never throws: what is missing is a value.
 *
 * Lifetimes:
 * - One I/O thread for each Node environment (main thread or worker), and a second engine that runs on the thread of JS,
 *   started by the first `startEngine` and stopped by `stop`, by the end of the environment, or by the end of the process
 *   in the middle of anything. A connection goes from one to the other by itself.
 * - A socket's descriptor is duplicated: the addon closes its own, JS its own, in any order. `onClosed` is the last word
 *   of a connection and comes after the addon's descriptor is closed; `abort` brings it about.
 * - Chunks given to `onData` are views of memory that is used again as soon as the call returns: what is kept is copied,
 *   or asked for with `keep` before the call returns. Such memory lives as long as JS has it, also after the engine, and
 *   comes back with the garbage collector; there is a bound to it.
 * - Bytes given to `write` are copied before it returns.
 * - Keys are copied into OpenSSL's contexts, which wipe them when the connection closes; the caller zeroes its own.
 * - No call of the engine calls back before it returns, and no listener is called after `stop` or its `onClosed`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Engine } from './engine.ts'
import type { Addon } from './addon.ts'
import type { EngineInit } from './engine.ts'

export { Engine } from './engine.ts'
export type { AttachInit, EngineInit, TakenSession } from './engine.ts'
export type { NativeSession, SessionListener } from './session.ts'
export type { CounterName, Failure } from './addon.ts'

export type Loaded =
  | { readonly supported: true; readonly addon: Addon; readonly path: string }
  | {
      readonly supported: false
      readonly code: 'platform' | 'not-built' | 'not-loadable'
      /** In words for an operator. */
      readonly reason: string
    }

const MADE_FOR = ['linux-x64', 'linux-arm64']

let loaded: Loaded | null = null

/** The addon: the one built here, else the one that came with the package. The answer is kept. */
export function loadAddon(): Loaded {
  loaded ??= load()
  return loaded
}

function load(): Loaded {
  const target = `${process.platform}-${process.arch}`
  if (!MADE_FOR.includes(target))
    return { supported: false, code: 'platform', reason: `not made for ${target}, only for ${MADE_FOR.join(', ')}` }
  const path = addonPaths(target).find((each) => existsSync(each))
  if (path === undefined)
    return {
      supported: false,
      code: 'not-built',
      reason: whyNotBuilt() ?? 'it was not built when nzcore was installed',
    }
  try {
    const addon = createRequire(import.meta.url)(path) as Addon
    // One built for earlier sources speaks another language.
    if (typeof addon.keep !== 'function')
      return { supported: false, code: 'not-built', reason: 'it was built for another version: npm run build' }
    return { supported: true, addon, path }
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    return { supported: false, code: 'not-loadable', reason: `it does not load: ${why.slice(0, 200)}` }
  }
}

function addonPaths(target: string): string[] {
  const root = packageRoot()
  return [join(root, 'native/build/nzcore.node'), join(root, 'prebuilds', target, 'nzcore.node')]
}

/** What the last build could not do (build.mjs). */
function whyNotBuilt(): string | null {
  try {
    return readFileSync(join(packageRoot(), 'native/build/missing'), 'utf8').trim()
  } catch {
    return null
  }
}

/** This file is native/binding.ts, or dist/native/binding.js. */
function packageRoot(): string {
  const above = dirname(import.meta.dirname)
  return existsSync(join(above, 'package.json')) ? above : dirname(above)
}

export type Started =
  | { readonly started: true; readonly engine: Engine; readonly uringError: number }
  /** The kernel, or what stands in front of it, refuses even epoll. */
  | { readonly started: false; readonly errno: number }

/** A running engine; `stop` it. Holds no process alive while it has no connection. */
export function startEngine(addon: Addon, init: EngineInit): Started {
  return Engine.start(addon, init)
}
