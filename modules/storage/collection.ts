/** Records of one shape: JSON by a schema, checked when written and when read. */
import { storageErrors } from './service.ts'
import type { z } from 'zod'
import type { Namespace, PutOptions, RangeOptions, Snapshot } from './service.ts'

export interface Collection<T> {
  /** @throws NZ_STORAGE_VALUE_INVALID when what is stored does not fit the schema (any more) */
  get(key: string, options?: { readonly snapshot?: Snapshot }): Promise<T | null>
  /** Durable when it resolves. @throws TypeError when `value` does not fit the schema */
  put(key: string, value: T, options?: PutOptions): Promise<void>
  delete(key: string): Promise<boolean>
  /** @throws NZ_STORAGE_VALUE_INVALID */
  range(options?: RangeOptions): AsyncIterable<{ readonly key: string; readonly value: T }>
}

/** The records of `namespace` as values of `schema`. Who uses a namespace so uses all of it so. */
export function collection<T>(namespace: Namespace, schema: z.ZodType<T>): Collection<T> {
  const codec = valueCodec(namespace.name, schema)
  return {
    async get(key, options) {
      const bytes = await namespace.get(key, options)
      return bytes === null ? null : codec.decode(key, bytes)
    },
    async put(key, value, options) {
      await namespace.put(key, codec.encode(value), options)
    },
    delete: async (key) => await namespace.delete(key),
    async *range(options) {
      for await (const { key, value } of namespace.range(options)) yield { key, value: codec.decode(key, value) }
    },
  }
}

export interface ValueCodec<T> {
  /** @throws TypeError when `value` does not fit the schema */
  encode(value: T): Uint8Array
  /** @throws NZ_STORAGE_VALUE_INVALID */
  decode(key: string, bytes: Uint8Array): T
}

/** Between values of `schema` and the bytes of records in `namespace`. */
export function valueCodec<T>(namespace: string, schema: z.ZodType<T>): ValueCodec<T> {
  return {
    encode(value) {
      const parsed = schema.safeParse(value)
      if (!parsed.success) throw new TypeError(`not a value of ${namespace}`, { cause: parsed.error })
      return Buffer.from(JSON.stringify(parsed.data), 'utf8')
    },
    decode(key, bytes) {
      try {
        return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
      } catch (error) {
        throw storageErrors.NZ_STORAGE_VALUE_INVALID({ cause: error, data: { namespace, key } })
      }
    },
  }
}
