/** Reads and proves the content of every name, each content once. */
import { Damage } from './content-store.ts'
import { proveContent } from './read-content.ts'
import type { ContentStore } from './content-store.ts'
import type { StoredFile, Verified } from './service.ts'

export async function* verifyFiles(
  store: ContentStore,
  { one, signal }: { readonly one?: StoredFile; readonly signal: AbortSignal },
): AsyncGenerator<Verified> {
  /** What is wrong with each content; as many as `maxFiles`. */
  const known = new Map<string, string | null>()
  for await (const { name, contentId, size } of one === undefined ? allOf(store) : [one]) {
    signal.throwIfAborted()
    let why = known.get(contentId)
    if (why === undefined) {
      why = await whyDamaged(store, contentId, signal)
      known.set(contentId, why)
    }
    // Nothing is said of a name that was removed or replaced meanwhile.
    const isGone =
      why !== null && one === undefined && (await store.services.records.name(name))?.contentId !== contentId
    if (!isGone) yield { name, contentId, size, isIntact: why === null, why }
  }
}

async function* allOf({ services }: ContentStore): AsyncGenerator<StoredFile> {
  for await (const [name, record] of services.records.names()) yield { name, ...record }
}

/** Tries again when another file took the place of the one that was read. */
async function whyDamaged(store: ContentStore, contentId: string, signal: AbortSignal): Promise<string | null> {
  for (;;) {
    const record = await store.services.records.content(contentId)
    if (record === null) return 'nothing is known of its content'
    try {
      await proveContent(store, { contentId, record }, signal)
      return null
    } catch (error) {
      if (!(error instanceof Damage)) throw error
      if ((await store.damage({ contentId, record }, error.message)) !== null) return error.message
    }
  }
}
