/** Who is asked where a peer may be when what is known does not lead to it. */
import type { AddressSource } from './service.ts'

export class AddressSources {
  readonly #sources = new Set<AddressSource>()

  get isEmpty(): boolean {
    return this.#sources.size === 0
  }

  add(source: AddressSource, { signal }: { readonly signal: AbortSignal }): void {
    if (signal.aborted) return
    this.#sources.add(source)
    signal.addEventListener('abort', () => this.#sources.delete(source), { once: true })
  }

  /** What all of them say; one that fails says nothing. */
  async ask(peerId: string, options: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    const told = await Promise.allSettled([...this.#sources].map(async (source) => await source(peerId, options)))
    return [...new Set(told.flatMap((each) => (each.status === 'fulfilled' ? each.value : [])))]
  }
}
