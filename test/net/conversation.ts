/** Questions to a child process over its IPC channel, and its answers. */
import type { ChildProcess, Serializable } from 'node:child_process'

interface Answered {
  readonly id?: number
  readonly value?: unknown
  readonly error?: string
}

const ANSWER_TIMEOUT_MS = 180_000

export class Conversation<Question extends Serializable> {
  readonly child: ChildProcess
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>()
  #asked = 0

  constructor(child: ChildProcess) {
    this.child = child
    child.on('message', ({ id = -1, value, error }: Answered) => {
      const open = this.#open.get(id)
      this.#open.delete(id)
      if (error === undefined) open?.resolve(value)
      else open?.reject(new Error(error))
    })
    child.once('exit', () => {
      for (const open of this.#open.values()) open.reject(new Error('the process has ended'))
    })
  }

  async ask(question: Question): Promise<unknown> {
    const id = (this.#asked += 1)
    const open = Promise.withResolvers<unknown>()
    this.#open.set(id, open)
    this.child.send({ id, question })
    const timer = setTimeout(
      () => open.reject(new Error(`no answer to ${JSON.stringify(question).slice(0, 200)}`)),
      ANSWER_TIMEOUT_MS,
    )
    try {
      return await open.promise
    } finally {
      clearTimeout(timer)
    }
  }
}
