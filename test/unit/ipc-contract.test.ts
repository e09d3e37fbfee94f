import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { commandGroups } from '../../cli/commands/index.ts'
import { errorCatalogue } from '../../cli/error-catalogue.ts'
import { nodeModules } from '../../cli/node.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import { contractDocuments, jsonSchemaOf } from '../../protocols/ipc/json-schemas.ts'
import { VERSION } from '../../protocols/ipc/version.ts'
import type { Endpoint } from '../../protocols/ipc/endpoint.ts'

const endpoints: Array<[string, Endpoint]> = Object.entries(contract)

const twice = (values: readonly string[]): string[] => values.filter((value, i) => values.indexOf(value) !== i)
const propertiesOf = (endpoint: Endpoint): Record<string, { description?: string }> =>
  (jsonSchemaOf(endpoint.params, 'input')['properties'] ?? {}) as Record<string, { description?: string }>

describe('the contract', () => {
  it('names every method and path once, in plain words', () => {
    assert.deepEqual(twice(endpoints.map(([, { method, path }]) => `${method} ${path}`)), [])
    for (const [id, { path }] of endpoints) assert.match(path, /^(?:\/[a-z][a-z0-9-]*)+$/, id)
  })

  it('names every command once, but for endpoints that serve one command with a flow of its own', async () => {
    const groups = await Promise.all(Object.values(commandGroups).map(async (load) => await load()))
    const own = new Set(groups.flatMap(({ commands }) => commands.map(({ words }) => words.join(' '))))
    const doubled = twice(endpoints.map(([, { command }]) => command.join(' ')))
    assert.deepEqual(
      doubled.filter((words) => !own.has(words)),
      [],
    )
  })

  it('means one document by one name', () => {
    assert.ok(contractDocuments(contract).size > 0)
    for (const [id, { schemaName }] of endpoints) assert.match(schemaName, /^nz\.[A-Za-z][A-Za-z.-]*\/\d+$/, id)
  })

  it('declares only errors that exist', async () => {
    await nodeModules({ env: {} })
    const known = await errorCatalogue()
    const unknown = endpoints.flatMap(([id, { errors }]) =>
      errors.filter((code) => !known.has(code)).map((code) => `${id}: ${code}`),
    )
    assert.deepEqual(unknown, [])
  })

  it('describes every param, and takes no other', () => {
    const silent = endpoints.flatMap(([id, endpoint]) =>
      Object.entries(propertiesOf(endpoint))
        .filter(([, { description }]) => description === undefined)
        .map(([key]) => `${id}: ${key}`),
    )
    assert.deepEqual(silent, [])
    for (const [id, { params }] of endpoints) {
      assert.equal(jsonSchemaOf(params, 'input')['additionalProperties'], false, `${id} is not strict`)
    }
  })

  it('is sound in itself', () => {
    for (const [id, endpoint] of endpoints) {
      const { kind, method, positional = [], resume, capability, summary } = endpoint
      if (kind === 'duplex') assert.equal(method, 'POST', id)
      if (resume !== undefined) assert.equal(method, 'GET', `${id}: what changes things is not resumed`)
      assert.match(capability, /^[a-z]+\.[a-z-]+$/, id)
      assert.match(summary, /^[A-Z].*[^.]$/, id)
      for (const name of positional) assert.ok(name in propertiesOf(endpoint), `${id}: positional ${name}`)
      if (resume !== undefined) assert.ok(kind === 'stream' && resume.param in propertiesOf(endpoint), id)
    }
  })
})

it('the version is that of the package', () => {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')
  assert.equal(VERSION, (JSON.parse(text) as { version: string }).version)
})
