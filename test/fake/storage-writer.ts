/**
 * A process that writes until it is killed: `node storage-writer.ts <dir> <round>`. One line on stdout for each record
 * that was acknowledged, after it was; every value says which key and round it belongs to.
 */
import { StateFiles } from '../../modules/home/state-files.ts'
import { openDiskStore } from './disk-store.ts'

const [dir = '', round = '0'] = process.argv.slice(2)
const storage = await openDiskStore(dir, new StateFiles(dir))
const store = storage.namespace('crash')
process.stdout.write(`open ${storage.status().state}\n`)

async function write(writer: number): Promise<void> {
  for (let n = 0; ; n++) {
    const key = `w${writer}/${n % 40}`
    const value = `${round} ${n} ${'x'.repeat((n * 997) % 3_000)}`
    await store.put(key, Uint8Array.from(Buffer.from(`${key} ${value}`)))
    process.stdout.write(`${key} ${round} ${n}\n`)
    if (n % 50 === 49) await store.delete(`w${writer}/d`)
    if (n % 300 === 299 && writer === 0) void storage.rotate({ signal: new AbortController().signal })
  }
}

await Promise.all(Array.from({ length: 6 }, async (_, writer) => await write(writer)))
