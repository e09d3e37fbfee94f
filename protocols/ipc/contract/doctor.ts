/** Local API: what is not as it should be, and what to do about it. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const state = z.enum(['ok', 'warn', 'fail'])

export const Diagnosis = z.strictObject({
  state: state.describe('the worst of the findings'),
  isNodeRunning: z.boolean().describe('whether the running node examined itself'),
  findings: z.array(
    z.strictObject({
      check: z.string().describe('stable name, subject.aspect'),
      state: state.describe('fail: does not work or is not safe; warn: may soon not, or works less well'),
      what: z.string().describe('one sentence'),
      fix: z.array(z.string()).describe('what to do, most likely first'),
    }),
  ),
})

export const doctorContract = defineContract({
  doctorExamine: {
    method: 'GET',
    path: '/doctor',
    kind: 'call',
    summary: 'Look for what is wrong with this node and its machine',
    command: ['doctor'],
    schemaName: 'nz.doctor/1',
    params: z.strictObject({}),
    result: Diagnosis,
    capability: 'node.read',
    errors: [],
  },
})
