/** Errors that the other side sends are read by hand, so that a client loads no schemas: held against the schema. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { errorDocumentFrom } from '../../protocols/ipc/problem.ts'
import { ErrorDocumentSchema } from '../../protocols/ipc/problem-schemas.ts'

const good = {
  code: 'NZ_IPC_STOPPING',
  what: 'the node is stopping',
  why: null,
  do: ['nzcore up'],
  retryable: true,
  status: 503,
  exit: 'unreachable',
  data: { pid: 1 },
}

const sameAsSchema = (value: unknown): void => {
  const { success, data } = ErrorDocumentSchema.safeParse(value)
  assert.deepEqual(errorDocumentFrom(value), success ? data : null, JSON.stringify(value))
}

describe('an error of the other side', () => {
  it('is read without the members that are not ours', () => {
    assert.deepEqual(errorDocumentFrom({ ...good, type: 'urn:nzcore:error:NZ_IPC_STOPPING', more: 1 }), good)
  })

  it('brings no prototype with it', () => {
    sameAsSchema({ ...good, data: JSON.parse('{"__proto__":{"isOwner":true},"pid":1}') as unknown })
  })

  it('is what the schema says, whichever member is wrong', () => {
    const odd = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(undefined, 'NZ_A', 'nz_a', 'NZ_', 399, 400, 599, 600, 400.5, 'ok', 'toString', [1], {}),
    )
    const member = fc.constantFrom(...Object.keys(good))
    fc.assert(
      fc.property(member, odd, (name, value) => sameAsSchema({ ...good, [name]: value })),
      { numRuns: 1_000 },
    )
    fc.assert(fc.property(fc.jsonValue(), sameAsSchema))
  })
})
