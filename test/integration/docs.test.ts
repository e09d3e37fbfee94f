/** Every command that the documentation marks to be run, run in order with real processes (see test/docs). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createMachines, documentedFiles } from '../docs/machines.ts'
import { firstMissing, stepsOf } from '../docs/transcript.ts'

const files = await documentedFiles()

describe('the commands in the documentation', () => {
  it('are there', () => {
    assert.ok(files.flatMap(({ file, markdown }) => stepsOf(markdown, file)).length > 0)
  })

  for (const { file, markdown } of files) {
    const steps = stepsOf(markdown, file)
    if (steps.length === 0) continue
    it(`do what ${file} shows`, { timeout: 180_000 }, async () => {
      await using machines = await createMachines()
      for (const step of steps) {
        const printed = await machines.run(step)
        const missing = firstMissing(step.expected, printed)
        assert.equal(missing, null, `${step.where}: $ ${step.command}\nprinted:\n${printed}`)
      }
    })
  }
})
