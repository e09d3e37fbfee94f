/**
 * Which file may import which: the import statements of a source text, and the table they are held against.
 *
 * Works on text, needs no compiler API, and errs on the side of finding too much: an import that cannot be read or
 * resolved is a violation.
 */
import { posix } from 'node:path'

export interface Import {
  readonly specifier: string
  /** `import type` and `export type`: gone at run time. */
  readonly isTypeOnly: boolean
  readonly isDynamic: boolean
}

export interface Rules {
  /** Whether the repository has this file; paths are relative to its root, with `/`. */
  readonly exists: (path: string) => boolean
  /** Names of the packages that are installed with ours. */
  readonly dependencies: readonly string[]
}

/** Every import of the text; `null` in place of a specifier that is no plain string. */
export function importsOf(source: string): ReadonlyArray<Import | null> {
  // Doc comments hold examples; nothing else is left out.
  const code = source.replaceAll(/^[ \t]*\/\*\*[\s\S]*?\*\//gm, '')
  const found: Array<Import | null> = []
  const statement = /(?<![.\w$])(?:import|export)\b(\s+type\b)?[^'"`;()]*?\bfrom\s*(['"])([^'"\n]*)\2/g
  for (const [, type, , specifier] of code.matchAll(statement)) {
    found.push({ specifier: specifier ?? '', isTypeOnly: type !== undefined, isDynamic: false })
  }
  for (const [, , specifier] of code.matchAll(/(?<![.\w$])import\s*(['"])([^'"\n]*)\1/g)) {
    found.push({ specifier: specifier ?? '', isTypeOnly: false, isDynamic: false })
  }
  for (const [, argument] of code.matchAll(/(?<![.\w$])import\s*\(\s*([^)]*)/g)) {
    const literal = /^(['"`])([^'"`$\n]*)\1\s*(?:,|$)/.exec(argument ?? '')
    found.push(literal === null ? null : { specifier: literal[2] ?? '', isTypeOnly: false, isDynamic: true })
  }
  // `require`, also by another road: a second way to import would be a way around this test.
  for (const _ of code.matchAll(/\bcreateRequire\b|(?<![.\w$])require\s*\(/g)) found.push(null)
  return found
}

/** What is wrong with the imports of `file`, one line each. */
export function violationsOf(file: string, source: string, rules: Rules): readonly string[] {
  const wrong: string[] = []
  if (isFree(file)) return wrong
  for (const found of importsOf(source)) {
    if (found === null) {
      if (!mayImportByName(file)) wrong.push(`${file}: an import whose target cannot be read`)
      continue
    }
    const { specifier } = found
    if (!specifier.startsWith('.')) {
      const why = whyNotPackage(file, specifier, rules)
      if (why !== null) wrong.push(`${file} → ${specifier}: ${why}`)
      continue
    }
    const target = posix.join(posix.dirname(file), specifier)
    if (target.startsWith('..')) wrong.push(`${file} → ${specifier}: outside of the repository`)
    else if (!isBuilt(file, target) && !rules.exists(target)) wrong.push(`${file} → ${target}: no such file`)
    else if (!mayImport(file, target, found)) wrong.push(`${file} → ${target}`)
  }
  return wrong
}

/** The launcher looks for what is built; the native addon is a file that only the build makes. */
function mayImportByName(file: string): boolean {
  return file === 'cli/nzcore.js' || file === 'native/binding.ts'
}

/** Tests and what renders specifications from code may look everywhere, and are not installed with nzcore. */
function isFree(file: string): boolean {
  return file.startsWith('test/') || file === 'spec/render.ts'
}

function isBuilt(file: string, target: string): boolean {
  return file === 'cli/nzcore.js' && target === 'dist/cli/main.js'
}

/** The table of docs/adr/0006-who-may-import-whom.md. */
function mayImport(file: string, target: string, { isTypeOnly, isDynamic }: Import): boolean {
  const [from = '', part] = file.split('/')
  const [to, toPart] = target.split('/')
  if (isBuilt(file, target)) return true
  if (to === 'kernel' && from !== 'kernel') return target === 'kernel/index.ts'
  const isModuleFace = to === 'modules' && /^modules\/[^/]+\/service\.ts$/.test(target)
  switch (from) {
    case 'bench':
      return to !== 'test'
    case 'kernel':
    case 'native':
      return to === from
    case 'protocols':
      return to === 'protocols'
    case 'modules':
      return (
        (to === 'modules' && (toPart === part || isModuleFace)) ||
        to === 'protocols' ||
        (part === 'network' && target === 'native/binding.ts')
      )
    case 'sdk':
      return to === 'sdk' || target.startsWith('protocols/ipc/') || (file === 'sdk/node.ts' && target === 'cli/node.ts')
    case 'cli':
      if (to === 'modules') {
        if (file === 'cli/node.ts') return isModuleFace || isModuleIndex(target)
        return isModuleFace && (isTypeOnly || (file === 'cli/error-catalogue.ts' && isDynamic))
      }
      if (file === 'cli/commands/bench.ts' && to === 'bench') return isDynamic || isTypeOnly
      if (file === 'cli/commands/sim.ts' && target === 'protocols/simulation/index.ts') return isDynamic || isTypeOnly
      return to === 'cli' || to === 'sdk' || target.startsWith('protocols/ipc/')
    default:
      return false
  }
}

function isModuleIndex(target: string): boolean {
  return /^modules\/[^/]+\/index\.ts$/.test(target)
}

const LIBP2P = /^(?:libp2p|@libp2p\/.+|@chainsafe\/.+)$/
const INPUT_OUTPUT =
  /^node:(?:fs|net|tls|dgram|dns|http|https|http2|child_process|cluster|worker_threads|timers|readline)(?:\/|$)/

/** `null` when the file may import the package or built-in module. */
function whyNotPackage(file: string, specifier: string, { dependencies }: Rules): string | null {
  if (specifier.startsWith('node:')) {
    return file.startsWith('protocols/') && INPUT_OUTPUT.test(specifier) ? 'protocols do no input or output' : null
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  if (!dependencies.includes(name)) return 'not a dependency that is installed with nzcore'
  if (LIBP2P.test(name) && !/^(?:modules\/network|bench)\//.test(file)) return 'only modules/network sees libp2p'
  if (file.startsWith('kernel/') && !['@standard-schema/spec', 'zod'].includes(name)) return 'the kernel stands alone'
  return null
}
