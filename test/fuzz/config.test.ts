/** Whatever is in a file, the environment or the flags: accepted or refused with a code, soon, and without a trace elsewhere. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { environmentLayer, flagLayer, isNzError, resolveConfig } from '../../kernel/index.ts'
import type { ConfigIssue, ConfigLayer, ConfigSource } from '../../kernel/index.ts'

const modules: readonly ConfigSource[] = ['alpha', 'beta', 'gamma-ray'].map((name) => ({
  name,
  config: z.strictObject({
    listen: z.array(z.string().startsWith('/')).max(8).default([]),
    dialTimeoutMs: z.int().min(1).default(5_000).meta({ unit: 'ms' }),
    ratio: z.number().min(0).max(1).nullable().default(null),
    isPublic: z.boolean().default(false),
    mode: z.enum(['off', 'on']).default('off'),
    secret: z.string().min(16).optional().meta({ isSecret: true }),
    weights: z.record(z.string(), z.number()).default({}),
    limits: z
      .strictObject({ maxPeers: z.int().default(9), per: z.strictObject({ host: z.int().default(1) }).prefault({}) })
      .prefault({}),
  }),
}))

const paths = resolveConfig({ modules, layers: [] }).entries()
const word = fc.oneof(
  fc.constantFrom(...paths.flatMap(({ path, environment }) => [...path.split('.'), environment])),
  fc.constantFrom('__proto__', 'constructor', 'toString', ''),
  fc.string({ maxLength: 40, unit: 'binary' }),
  fc.string({ minLength: 300, maxLength: 5_000 }),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof({ maxDepth: 5 }, fc.anything(), fc.string(), fc.dictionary(word, tie('tree'), { maxKeys: 6 })),
}))

/** @returns whether it was accepted */
function resolveSoon(layers: () => readonly ConfigLayer[]): boolean {
  const beganMs = performance.now()
  try {
    const config = resolveConfig({ modules, layers: layers() })
    JSON.stringify(config)
    return true
  } catch (error) {
    assert.ok(isNzError(error, 'NZ_KERNEL_CONFIG_INVALID'), String(error))
    const issues = error.data['issues'] as ConfigIssue[]
    assert.ok(issues.length > 0 && issues.length <= 100)
    for (const { path } of issues) assert.ok(path.length <= 201)
    return false
  } finally {
    const tookMs = performance.now() - beganMs
    assert.ok(tookMs < 2_000, `took ${tookMs} ms`)
    assert.equal(Object.keys(Object.prototype).length, 0)
  }
}

describe('the configuration decoders', () => {
  it('take any value', () => {
    fc.assert(
      fc.property(fc.dictionary(word, tree, { maxKeys: 6 }), (values) => {
        resolveSoon(() => [{ origin: 'file', values }])
      }),
      { numRuns: 2_000 },
    )
  })

  it('take any text', () => {
    const flag = fc.tuple(word, fc.string({ unit: 'binary' })).map(([key, value]) => `${key}=${value}`)
    fc.assert(
      fc.property(fc.dictionary(word, fc.string({ unit: 'binary' })), fc.array(flag), (environment, flags) => {
        resolveSoon(() => [environmentLayer(modules, environment), flagLayer(modules, flags)])
      }),
      { numRuns: 2_000 },
    )
  })

  it('take text that is nearly right', () => {
    const value = fc.oneof(
      fc.constantFrom('true', 'null', '[', '{}', '[1,[2]]', '-0', '1e999', '9'.repeat(400), '/a,/b', '0x1', ' 1', '١'),
      fc.json(),
    )
    const flag = fc.tuple(fc.constantFrom(...paths), value).map(([{ path }, text]) => `${path}=${text}`)
    const accepted = { count: 0 }
    fc.assert(
      fc.property(fc.array(flag, { minLength: 1, maxLength: 5 }), (flags) => {
        if (resolveSoon(() => [flagLayer(modules, flags)])) accepted.count += 1
      }),
      { numRuns: 2_000 },
    )
    assert.ok(accepted.count > 0)
  })

  it('tell no more than a hundred mistakes, however many there are', () => {
    const values = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`listen${i}`, i]))
    assert.equal(
      resolveSoon(() => [{ origin: 'file', values: { alpha: values } }]),
      false,
    )
    const flags = Array.from({ length: 20_000 }, (_, i) => `alpha.listn${i}=1`)
    assert.equal(
      resolveSoon(() => [flagLayer(modules, flags)]),
      false,
    )
  })
})
