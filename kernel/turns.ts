/** One piece of work after another, in the order of the calls. */

export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` when every earlier call has ended, whatever became of those. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine
    return await mine
  }
}
