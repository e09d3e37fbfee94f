/** What is rendered from code is what is committed. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { rendered } from '../spec/render.ts'

const spec = resolve(import.meta.dirname, '../spec')

describe('rendered files', () => {
  it('are up to date: else run npm run render', async () => {
    const files = await rendered()
    const stale = [...files].filter(([path, text]) => {
      const file = join(spec, path)
      return !existsSync(file) || readFileSync(file, 'utf8') !== text
    })
    assert.deepEqual(
      stale.map(([path]) => path),
      [],
    )
    const left = readdirSync(join(spec, 'schemas')).filter((name) => !files.has(`schemas/${name}`))
    assert.deepEqual(left, [], 'files that nothing renders any more')
  })

  it('say by what', async () => {
    for (const [path, text] of await rendered()) assert.ok(text.slice(0, 120).includes('spec/render.ts'), path)
  })

  it('refer to nothing that is not there', async () => {
    const document = JSON.parse((await rendered()).get('openapi.json') ?? '') as object
    for (const [, pointer = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      let at: unknown = document
      for (const key of pointer.split('/')) at = (at as Record<string, unknown> | undefined)?.[key]
      assert.ok(at !== undefined, pointer)
    }
  })
})
