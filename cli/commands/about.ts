/** What this program is and what its errors mean; works without a daemon. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cliErrors } from '../errors.ts'
import type { CommandSpec, Presenters } from '../command.ts'

export const aboutPresenters: Presenters = {}

export const aboutCommands: readonly CommandSpec[] = [
  {
    words: ['version'],
    summary: 'Print the versions of nzcore and of what it runs on',
    schemaNames: ['nz.version/1'],
    async run({ output }) {
      const document = {
        nzcore: packageVersion(),
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
      }
      output.answer(
        'nz.version/1',
        document,
        () => `nzcore ${document.nzcore} · node ${document.node} · ${document.platform}`,
      )
    },
  },
  {
    words: ['explain'],
    summary: 'Say what an error code means and what to do about it',
    args: [{ name: 'code', summary: 'such as NZ_HOME_LOCKED', isRequired: true, completes: 'error-code' }],
    schemaNames: ['nz.explain/1'],
    async run({ output }, { args }) {
      const { errorCatalogue } = await import('../error-catalogue.ts')
      const code = (args['code'] ?? '').toUpperCase()
      const known = await errorCatalogue()
      const spec = known.get(code)
      if (spec === undefined) {
        throw cliErrors.NZ_CLI_UNKNOWN_CODE({
          data: { code, known: [...known.keys()].filter((name) => isNear(name, code)) },
        })
      }
      const { message, fix, exit, retryable } = spec
      output.answer('nz.explain/1', { code, what: message, do: fix, exit, retryable }, () =>
        [
          `${code}: ${message}`,
          ...fix.map((step, index) => `${index === 0 ? 'do: ' : 'or: '} ${step}`),
          `exit: ${exit}, ${retryable ? 'may succeed when tried again' : 'trying again alone does not help'}`,
        ].join('\n'),
      )
    },
  },
]

/** The version in package.json, which lies one folder above the sources and two above the compiled program. */
export function packageVersion(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
        string,
        unknown
      >
      if (name === 'nzcore' && typeof version === 'string') return version
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
  throw new Error('package.json of nzcore is missing')
}

function isNear(name: string, code: string): boolean {
  const area = code.split('_')[1]
  return area !== undefined && area !== '' && name.split('_')[1] === area
}
