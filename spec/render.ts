/**
 * Renders what is said in code as documents: `npm run render` writes them, test/rendered.test.ts compares.
 * spec/openapi.json, spec/errors.md, spec/config.schema.json and spec/schemas/*.json and protocols/ipc/routes.ts come from here.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { documents } from '../cli/documents/index.ts'
import { errorCatalogue } from '../cli/error-catalogue.ts'
import { nodeModules } from '../cli/node.ts'
import { configJsonSchema, exitCodes } from '../kernel/index.ts'
import { contract } from '../protocols/ipc/contract.ts'
import { contractDocuments, documentSchema } from '../protocols/ipc/json-schemas.ts'
import { openApiDocument } from '../protocols/ipc/openapi.ts'
import { VERSION } from '../protocols/ipc/version.ts'
import type { ErrorSpec } from '../kernel/index.ts'
import type { Schema } from '../protocols/ipc/endpoint.ts'

const BY = 'Rendered by spec/render.ts (npm run render); do not edit.'

/** Path from spec/ → text. */
export async function rendered(): Promise<ReadonlyMap<string, string>> {
  const modules = await nodeModules({ env: {} })
  const named = new Map<string, Schema>([...contractDocuments(contract), ...Object.entries(documents)])
  const schemas = [...named].map(([name, schema]): [string, string] => [
    `schemas/${name.replace('/', '.')}.json`,
    json(documentSchema(name, schema)),
  ])
  return new Map([
    ['openapi.json', json(openApiDocument(contract, VERSION))],
    ['errors.md', errorsPage(await errorCatalogue())],
    ['../protocols/ipc/routes.ts', routesFile()],
    ['config.schema.json', json(configJsonSchema(modules))],
    ...schemas.toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ])
}

function json(document: object): string {
  return `${JSON.stringify({ $comment: BY, ...document }, null, 2)}\n`
}

function routesFile(): string {
  const lines = Object.entries(contract).map(
    ([id, { method, path, kind }]) => `  ${id}: { method: '${method}', path: '${path}', kind: '${kind}' },`,
  )
  return [
    `/** Where each endpoint of the local API is. ${BY} */`,
    "import type { contract } from './contract.ts'",
    "import type { Routes } from './endpoint.ts'",
    '',
    'export const routes: Routes<typeof contract> = {',
    ...lines,
    '}',
    '',
  ].join('\n')
}

function errorsPage(catalogue: ReadonlyMap<string, ErrorSpec>): string {
  const codes = [...catalogue].filter(([code]) => !code.startsWith('NZ_TEST_')).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return [
    `<!-- ${BY} -->`,
    '# Errors',
    '',
    'Every error of nzcore has a code that never changes its meaning. Match on the code, never on the text.',
    'Status is that of the local API, exit that of the command line; retryable means: the same call may succeed later',
    'without a change by the caller.',
    '',
    ...codes.flatMap(([code, spec]) => section(code, spec)),
  ].join('\n')
}

function section(code: string, { message, fix, status, exit, retryable }: ErrorSpec): string[] {
  return [
    `## ${code}`,
    '',
    `${message.charAt(0).toUpperCase()}${message.slice(1)}.`,
    '',
    ...fix.map((step) => `- ${step}`),
    '',
    `Status ${status} · exit ${exitCodes[exit]} (${exit}) · ${retryable ? 'retryable' : 'not retryable'}`,
    '',
  ]
}

async function write(): Promise<void> {
  const files = await rendered()
  const dir = import.meta.dirname
  await mkdir(join(dir, 'schemas'), { recursive: true })
  for (const name of await readdir(join(dir, 'schemas'))) {
    if (!files.has(`schemas/${name}`)) await rm(join(dir, 'schemas', name))
  }
  for (const [path, text] of files) {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await writeFile(join(dir, path), text)
  }
}

if (import.meta.main) await write()
