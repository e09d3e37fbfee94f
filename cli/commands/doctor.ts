/** `nzcore doctor`: what is wrong, and what to type; asks the running node, or looks for itself when none runs. */
import { isNzError } from '../../kernel/index.ts'
import { escapeText } from '../text.ts'
import type { doctorContract } from '../../protocols/ipc/contract/doctor.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandSpec, Presenters } from '../command.ts'

type Diagnosis = ResultOf<(typeof doctorContract)['doctorExamine']>

const marks = { ok: '✔', warn: '!', fail: '✖' } as const

export const doctorPresenters: Presenters = {}

export const doctorCommands: readonly CommandSpec[] = [
  {
    words: ['doctor'],
    summary: 'Look for what is wrong with this node and its machine; works without a network',
    schemaNames: ['nz.doctor/1'],
    async run(context) {
      const diagnosis = await diagnosisOf(context)
      context.output.answer('nz.doctor/1', diagnosis, () => diagnosisText(diagnosis))
      return diagnosis.state === 'fail' ? 'degraded' : 'ok'
    },
  },
]

async function diagnosisOf({ client, home, env, signal }: CliContext): Promise<Diagnosis> {
  try {
    return await (await client()).doctorExamine({}, { signal })
  } catch (error) {
    if (!isNzError(error)) throw error
    signal.throwIfAborted()
    // A node that does not answer, whatever the reason, is a case for the doctor.
    const { diagnose } = await import('../node.ts')
    const { state, isNodeRunning, findings } = await diagnose({ home, env }, { signal })
    const known = findings.map((finding) => ({ ...finding, fix: [...finding.fix] }))
    if (isNzError(error, 'NZ_IPC_NOT_RUNNING')) return { state, isNodeRunning, findings: known }
    const what = `the node does not answer: ${error.message} (${error.code})`
    return {
      state: 'fail',
      isNodeRunning,
      findings: [...known, { check: 'api.answer', state: 'fail', what, fix: [...error.fix] }],
    }
  }
}

function diagnosisText({ findings, isNodeRunning }: Diagnosis): string {
  const count = (state: Diagnosis['state']): number => findings.filter((finding) => finding.state === state).length
  const lines = findings.flatMap(({ state, what, fix }) => [
    `${marks[state]} ${escapeText(what)}`,
    ...fix.map((step, i) => `    ${i === 0 ? 'do:' : 'or:'} ${escapeText(step)}`),
  ])
  const node = isNodeRunning ? '' : ' · no node runs'
  return [...lines, `${count('ok')} ok · ${count('warn')} to look at · ${count('fail')} wrong${node}`].join('\n')
}
