/** What an application gives, written to a node at its pace. */
import type { Duplex } from '../protocols/ipc/endpoint.ts'

export interface Given {
  /** What the source threw; `null` while it has thrown nothing. */
  readonly failure: { readonly reason: unknown } | null
}

/**
 * Begins to write all of `source`. Never throws: that the source cannot be read ends the duplex and is in `failure`
 * before `read` rejects; a failure of the duplex shows on `read`. Nobody should wait for the source, which may give
 * nothing for ever.
 */
export function giveSource(duplex: Duplex, source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Given {
  const given: { failure: Given['failure'] } = { failure: null }
  const write = async (): Promise<void> => {
    let isSourceAsked = true
    try {
      for await (const bytes of source) {
        isSourceAsked = false
        await duplex.write(bytes)
        isSourceAsked = true
      }
      isSourceAsked = false
      await duplex.end()
    } catch (error) {
      if (isSourceAsked) given.failure = { reason: error }
      duplex.fail(error)
    }
  }
  void write()
  return given
}
