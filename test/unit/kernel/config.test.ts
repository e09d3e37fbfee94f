import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import {
  configJsonSchema,
  configKeys,
  environmentLayer,
  explainKey,
  flagLayer,
  isNzError,
  resolveConfig,
} from '../../../kernel/index.ts'
import type { ConfigIssue, ConfigLayer, ConfigSource } from '../../../kernel/index.ts'

const modules: readonly ConfigSource[] = [
  {
    name: 'network',
    config: z.strictObject({
      listen: z.array(z.string().startsWith('/')).default(['/ip4/0.0.0.0/tcp/4001']).describe('addresses to listen on'),
      dialTimeoutMs: z.int().min(1).default(5_000).describe('longest dial').meta({ unit: 'ms' }),
      isPublic: z.boolean().default(false),
      clusterSecret: z.string().min(16).optional().meta({ isSecret: true }),
      limits: z.strictObject({ maxPeers: z.int().default(100), maxStreams: z.int().default(10) }).prefault({}),
    }),
  },
  { name: 'home', config: z.strictObject({ stateDir: z.string() }).meta({ isInternal: true }) },
]

const composition: ConfigLayer = { origin: 'composition', values: { home: { stateDir: '/state' } } }

function resolve(...layers: readonly ConfigLayer[]): ReturnType<typeof resolveConfig> {
  return resolveConfig({ modules, layers: [composition, ...layers] })
}

function issuesOf(...layers: readonly ConfigLayer[]): readonly ConfigIssue[] {
  try {
    resolveConfig({ modules, layers })
  } catch (error) {
    assert.ok(isNzError(error, 'NZ_KERNEL_CONFIG_INVALID'))
    return error.data['issues'] as ConfigIssue[]
  }
  return assert.fail('the configuration was accepted')
}

describe('resolveConfig', () => {
  it('lets a stronger layer win, key by key, and says where each value came from', () => {
    const config = resolve(
      { origin: 'file', values: { network: { dialTimeoutMs: 1, isPublic: true, limits: { maxPeers: 7 } } } },
      { origin: 'environment', values: { network: { dialTimeoutMs: 2 } } },
      { origin: 'flags', values: { network: { dialTimeoutMs: 3 } } },
    )
    assert.deepEqual(config.values['network'], {
      listen: ['/ip4/0.0.0.0/tcp/4001'],
      dialTimeoutMs: 3,
      isPublic: true,
      limits: { maxPeers: 7, maxStreams: 10 },
    })
    const origins = Object.fromEntries(config.entries().map(({ path, origin }) => [path, origin]))
    assert.deepEqual(origins, {
      'network.listen': 'default',
      'network.dialTimeoutMs': 'flags',
      'network.isPublic': 'file',
      'network.clusterSecret': 'default',
      'network.limits.maxPeers': 'file',
      'network.limits.maxStreams': 'default',
      'home.stateDir': 'composition',
    })
  })

  it('tells every mistake at once and names the nearest key', () => {
    const issues = issuesOf(
      { origin: 'file', values: { network: { lisen: [], dialTimeoutMs: 'soon', limits: 5 }, netwrok: {} } },
      { origin: 'flags', values: { home: { stateDir: '/x' } } },
    )
    assert.deepEqual(
      issues.map(({ path, origin, nearest }) => ({ path, origin, nearest })),
      [
        { path: 'network.lisen', origin: 'file', nearest: 'network.listen' },
        { path: 'network.limits', origin: 'file', nearest: null },
        { path: 'netwrok', origin: 'file', nearest: 'network' },
        { path: 'home.stateDir', origin: 'flags', nearest: null },
        { path: 'network.dialTimeoutMs', origin: 'file', nearest: null },
        { path: 'home.stateDir', origin: null, nearest: null },
      ],
    )
  })

  it('prints no secret, neither in entries nor in errors', () => {
    const secret = 'correct horse battery'
    const config = resolve({ origin: 'file', values: { network: { clusterSecret: secret } } })
    assert.equal(config.explain('network.clusterSecret').value, '<redacted>')
    assert.ok(!JSON.stringify(config).includes(secret))
    assert.deepEqual(
      config.changes().map(({ path }) => path),
      ['network.clusterSecret', 'home.stateDir'],
    )
    const issues = issuesOf(composition, { origin: 'file', values: { network: { clusterSecret: 'short one' } } })
    assert.ok(!JSON.stringify(issues).includes('short one'))
  })

  it('reports which modules a change concerns', () => {
    const before = resolve()
    const after = before.withUserLayers([{ origin: 'file', values: { network: { isPublic: true } } }])
    assert.deepEqual(after.changedModules(before), ['network'])
    assert.deepEqual(after.values['home'], { stateDir: '/state' })
  })

  it('is not led astray by names of the prototype', () => {
    const values = JSON.parse('{"network":{"__proto__":{"isPublic":true},"constructor":1},"toString":{}}') as object
    const issues = issuesOf(composition, { origin: 'file', values: { ...values } })
    assert.deepEqual(
      issues.map(({ path }) => path),
      ['network.__proto__', 'network.constructor', 'toString'],
    )
  })
})

describe('layers of text', () => {
  it('maps variables to keys and reads them by type', () => {
    const layer = environmentLayer(modules, {
      NZ_NETWORK_LISTEN: '/a, /b',
      NZ_NETWORK_DIAL_TIMEOUT_MS: '1_000',
      NZ_NETWORK_IS_PUBLIC: 'true',
      NZ_NETWORK_LIMITS_MAX_PEERS: '3',
      NZ_PASSPHRASE_FILE: 'not a setting',
      NZ_HOME: '/elsewhere',
    })
    assert.deepEqual(layer.values, {
      network: { listen: ['/a', '/b'], dialTimeoutMs: 1_000, isPublic: true, limits: { maxPeers: 3 } },
    })
    assert.deepEqual(layer.issues, [])
  })

  it('names the variable that a misspelt one was meant to be', () => {
    const { issues } = environmentLayer(modules, { NZ_NETWORK_DIAL_TIMEOUT: '1' })
    assert.deepEqual(issues, [
      {
        path: 'NZ_NETWORK_DIAL_TIMEOUT',
        origin: 'environment',
        message: 'unknown variable',
        nearest: 'NZ_NETWORK_DIAL_TIMEOUT_MS',
      },
    ])
  })

  it('reads flags', () => {
    const layer = flagLayer(modules, ['network.listen=["/a"]', 'network.clusterSecret=a=b', 'network.isPublc=1'])
    assert.deepEqual(layer.values, { network: { listen: ['/a'], clusterSecret: 'a=b' } })
    assert.equal(layer.issues?.[0]?.nearest, 'network.isPublic')
  })

  it('leaves text that does not fit to the schema', () => {
    const layer = environmentLayer(modules, { NZ_NETWORK_DIAL_TIMEOUT_MS: '0x10' })
    assert.deepEqual(
      issuesOf(composition, layer).map(({ path, origin }) => ({ path, origin })),
      [{ path: 'network.dialTimeoutMs', origin: 'environment' }],
    )
  })
})

describe('keys', () => {
  it('take unit, default, description and environment variable from the schema', () => {
    const { schema: _, ...key } = explainKey(modules, 'network.dialTimeoutMs')
    assert.deepEqual(key, {
      path: 'network.dialTimeoutMs',
      module: 'network',
      type: 'integer',
      unit: 'ms',
      default: 5_000,
      description: 'longest dial',
      environment: 'NZ_NETWORK_DIAL_TIMEOUT_MS',
      isRequired: false,
      isSecret: false,
      isInternal: false,
    })
    assert.throws(() => explainKey(modules, 'network.dialTimeout'), {
      code: 'NZ_KERNEL_CONFIG_KEY_UNKNOWN',
      data: { path: 'network.dialTimeout', nearest: 'network.dialTimeoutMs' },
    })
  })

  it('say whether they come from the composition', () => {
    assert.deepEqual(
      configKeys(modules).flatMap(({ path, isInternal }) => (isInternal ? [path] : [])),
      ['home.stateDir'],
    )
  })

  it('make one JSON Schema, without what a user cannot set', () => {
    const schema = configJsonSchema(modules)
    assert.deepEqual(Object.keys(schema['properties'] as object), ['network'])
  })
})

describe('whatever is given', () => {
  const keyLike = fc.oneof(
    fc.constantFrom('network', 'home', 'listen', 'limits', 'maxPeers', '__proto__', 'toString', 'clusterSecret', ''),
    fc.string({ maxLength: 200 }),
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 4 }, fc.anything(), fc.dictionary(keyLike, tie('tree'), { maxKeys: 4 })),
  }))

  it('is accepted or refused with paths and codes, never anything else', () => {
    fc.assert(
      fc.property(fc.dictionary(keyLike, tree, { maxKeys: 4 }), (values) => {
        try {
          resolve({ origin: 'file', values })
        } catch (error) {
          assert.ok(isNzError(error, 'NZ_KERNEL_CONFIG_INVALID'), String(error))
          assert.ok((error.data['issues'] as ConfigIssue[]).length > 0)
        }
        assert.equal(({} as { isPublic?: unknown }).isPublic, undefined)
      }),
      { numRuns: 500 },
    )
  })

  it('is read from text without an error', () => {
    const name = fc.oneof(fc.constantFrom(...configKeys(modules).map(({ environment }) => environment)), fc.string())
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), fc.array(fc.string()), (environment, flags) => {
        const layers = [environmentLayer(modules, environment), flagLayer(modules, flags)]
        try {
          resolve(...layers)
        } catch (error) {
          assert.ok(isNzError(error, 'NZ_KERNEL_CONFIG_INVALID'), String(error))
        }
      }),
      { numRuns: 300 },
    )
  })
})
