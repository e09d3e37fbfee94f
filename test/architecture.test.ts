/**
 * Which folder may import which. Checked on resolved paths of literal imports;
 * needs no compiler API, so it works with every TypeScript version.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { it } from 'node:test'

const root = resolve(import.meta.dirname, '..')

const allowed: Record<string, readonly string[]> = {
  kernel: [],
  native: ['kernel'],
  protocols: ['kernel'],
  modules: ['kernel', 'protocols', 'native'],
  sdk: ['kernel', 'protocols'],
  cli: ['kernel', 'modules', 'protocols', 'sdk'],
}

it('imports follow the dependency direction', () => {
  const wrong: string[] = []
  for (const file of globSync(
    Object.keys(allowed).map((folder) => `${folder}/**/*.ts`),
    { cwd: root },
  )) {
    const from = file.split('/')[0] ?? ''
    for (const [, specifier] of readFileSync(join(root, file), 'utf8').matchAll(
      /(?:from|import)\s*\(?\s*'(\.[^']+)'/g,
    )) {
      const target = relative(root, resolve(root, dirname(file), specifier ?? ''))
      const to = target.split('/')[0] ?? ''
      const isInside = to === from && (from !== 'modules' || target.split('/')[1] === file.split('/')[1])
      const isModuleFace = from === 'modules' && /^modules\/[^/]+\/service\.ts$/.test(target)
      const isKernelFace = to === 'kernel' && target === 'kernel/index.ts'
      const isAllowed = (allowed[from] ?? []).includes(to) && (to !== 'kernel' || isKernelFace)
      if (!isInside && !isModuleFace && !isAllowed) wrong.push(`${file} → ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})
