/** Handlers of the group `docs`. */
import { writtenPayload } from '../../../protocols/eventlog/export.ts'
import type { documentsContract } from '../../../protocols/ipc/contract/documents.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { DocumentsService, DocumentState, StoredVersion } from '../../documents/service.ts'

type VersionView = ResultOf<(typeof documentsContract)['docsPut']>['version']
type DocumentView = ResultOf<(typeof documentsContract)['docsHeads']>['state']

export function documentsHandlers({
  documents,
}: {
  readonly documents: DocumentsService
}): Handlers<typeof documentsContract> {
  return {
    async docsPut({ document, content, encoding, parent, allowsFork }) {
      const options = { allowsFork, ...(parent === undefined ? {} : { parent }) }
      return { version: versionView(await documents.put(document, bytesOf(content, encoding), options)) }
    },
    async docsMerge({ document, content, encoding, parents }) {
      return { version: versionView(await documents.merge(document, bytesOf(content, encoding), { parents })) }
    },
    docsDelete: async ({ document, parent }) => ({
      version: versionView(await documents.delete(document, { parent })),
    }),
    async docsGet({ document, version }) {
      const { content, ...found } = await documents.get(document, version)
      const { encoding, payload } = writtenPayload(content)
      return { version: versionView(found), encoding, content: payload }
    },
    async docsHistory({ document, limit }) {
      const versions = await documents.history(document, { limit })
      return {
        versions: versions.map(({ children, isHead, isPruned, ...version }) => {
          return { ...versionView(version), children: [...children], isHead, isPruned }
        }),
      }
    },
    docsHeads: async ({ document }) => ({ state: documentView(await documents.heads(document)) }),
    async docsList({ prefix, after, limit, deleted }) {
      const range = { ...(prefix === undefined ? {} : { prefix }), ...(after === undefined ? {} : { after }) }
      const found = await documents.list({ ...range, limit: limit + 1, includesDeleted: deleted })
      return { documents: found.slice(0, limit).map(documentView), hasMore: found.length > limit }
    },
    docsPrune: async ({ document, keep }) => await documents.prune(document, { keep }),
  }
}

function bytesOf(content: string, encoding: 'text' | 'base64'): Uint8Array {
  return Buffer.from(content, encoding === 'text' ? 'utf8' : 'base64')
}

function versionView({ parents, ...version }: StoredVersion): VersionView {
  return { ...version, parents: [...parents] }
}

function documentView({ heads, ...state }: DocumentState): DocumentView {
  return { ...state, heads: heads.map((head) => ({ ...head })) }
}
