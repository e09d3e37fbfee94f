/**
 * A process that appends until it is killed: `node eventlog-writer.ts <dir> <round>`. One line on stdout for each entry
 * that was acknowledged, after it was: its sequence and what it says.
 */
import { StateFiles } from '../../modules/home/state-files.ts'
import { openDiskLogs } from './event-logs.ts'

const [dir = '', round = '0'] = process.argv.slice(2)
const { logs } = await openDiskLogs(dir, new StateFiles(dir))
process.stdout.write(`open ${logs.list().every(({ state }) => state === 'open') ? 'open' : 'damaged'}\n`)

async function write(writer: number): Promise<void> {
  for (let n = 0; ; n++) {
    const said = `${round}/${writer}/${n}/${'x'.repeat((n * 997) % 2_000)}`
    const { first } = await logs.append('crash', [Uint8Array.from(Buffer.from(said))])
    process.stdout.write(`${first} ${said}\n`)
    if (n % 8 === 7 && writer === 0) await logs.rotate('crash')
    if (n % 12 === 11 && writer === 1) await logs.trim('crash', { keepBytes: 150_000 })
  }
}

await Promise.all(Array.from({ length: 6 }, async (_, writer) => await write(writer)))
