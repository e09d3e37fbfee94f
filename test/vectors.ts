/**
 * Test vectors. The short ones of RFCs lie in spec/vectors; the large published sets are not copied into the project:
 * they are looked for in `NZ_VECTORS`, else in ../shared/vectors beside the repository.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')

/** The folder of the published sets, or `null` when this machine has none. */
export const publishedVectors: string | null =
  [process.env['NZ_VECTORS'], resolve(root, '..', 'shared', 'vectors')].find(
    (folder) => folder !== undefined && existsSync(folder),
  ) ?? null

/** Test options: skips with one clear line where the set `path` (`wycheproof/x25519_test.json`) is not there. */
export function needsVectors(path: string): { readonly skip: false | string } {
  if (publishedVectors !== null && existsSync(join(publishedVectors, path))) return { skip: false }
  return { skip: `published vectors not found: set NZ_VECTORS to the folder that holds ${path}` }
}

/** A published set, parsed. The caller names the shape it knows the set to have. */
export function publishedSet<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(join(publishedVectors ?? '', path), 'utf8')) as Shape
}

/** A set of spec/vectors, parsed. */
export function specVectors<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(join(root, 'spec', 'vectors', name), 'utf8')) as Shape
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/**
 * The set `name` of spec/vectors as a test has made it: written when `NZ_WRITE_VECTORS` is set. Both are as JSON has them,
 * so they can be compared.
 */
export function madeVectors<Shape>(name: string, made: Shape): { readonly made: Shape; readonly written: Shape } {
  if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
    writeFileSync(join(root, 'spec', 'vectors', name), `${JSON.stringify(made, null, 1)}\n`)
  }
  return { made: JSON.parse(JSON.stringify(made)) as Shape, written: specVectors<Shape>(name) }
}
