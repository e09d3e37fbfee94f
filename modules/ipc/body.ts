/** The params of a request: from the query for `GET` and duplex, from a JSON body of bounded size for `POST`. */
import type { IncomingMessage } from 'node:http'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { MAX_BODY_BYTES } from '../../protocols/ipc/limits.ts'

/** @throws NZ_IPC_MEDIA_TYPE_WRONG, NZ_IPC_BODY_TOO_LARGE, NZ_IPC_JSON_INVALID */
export async function readJsonBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const bytes = await readBody(request)
  const type = request.headers['content-type']
  if (bytes.byteLength === 0 && type === undefined) return {}
  if (!/^application\/json\s*(;\s*charset=utf-8\s*)?$/i.test(type ?? '')) throw ipcErrors.NZ_IPC_MEDIA_TYPE_WRONG()
  if (bytes.byteLength === 0) return {}
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw ipcErrors.NZ_IPC_JSON_INVALID({ cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw ipcErrors.NZ_IPC_JSON_INVALID()
  return value as Record<string, unknown>
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const tooLarge = (): Error => ipcErrors.NZ_IPC_BODY_TOO_LARGE({ data: { maxBytes: MAX_BODY_BYTES } })
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
