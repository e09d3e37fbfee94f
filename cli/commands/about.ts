/** What this program is and what its errors mean; works without a daemon. */
import { cliErrors } from '../errors.ts'
import { API_VERSION, VERSION } from '../../protocols/ipc/version.ts'
import type { CommandSpec, Presenters } from '../command.ts'

export const aboutPresenters: Presenters = {}

export const aboutCommands: readonly CommandSpec[] = [
  {
    words: ['version'],
    summary: 'Print the versions of nzcore and of what it runs on',
    schemaNames: ['nz.version/1'],
    async run({ output }) {
      const document = {
        version: VERSION,
        apiVersion: API_VERSION,
        runtime: process.version,
        platform: `${process.platform}-${process.arch}`,
      }
      const { version, runtime, platform } = document
      output.answer('nz.version/1', document, () => `nzcore ${version} · node ${runtime.slice(1)} · ${platform}`)
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

function isNear(name: string, code: string): boolean {
  const area = code.split('_')[1]
  return area !== undefined && area !== '' && name.split('_')[1] === area
}
