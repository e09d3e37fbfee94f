/**
 * A process that puts, replaces and removes files until it is killed: `node files-writer.ts <dir> <round>`. A line on
 * stdout with the writer's number for each change that was acknowledged, after it was.
 */
import { StateFiles } from '../../modules/home/state-files.ts'
import { inPieces } from '../compliance/files.ts'
import { crashChanges, openDiskFiles } from './disk-files.ts'

const [dir = '', round = '0'] = process.argv.slice(2)
const { files } = await openDiskFiles(dir, new StateFiles(dir))
const { signal } = new AbortController()
process.stdout.write('open\n')

async function write(writer: number): Promise<void> {
  let made = 0
  for (const { name, content } of crashChanges(Number(round), writer)) {
    if (content === null) await files.remove(name)
    else await files.put(name, inPieces(content, 30_011), { signal, replaces: true })
    process.stdout.write(`${writer}\n`)
    if (writer === 0 && ++made % 40 === 0) await files.collect({ signal })
  }
}

await Promise.all(Array.from({ length: 4 }, async (_, writer) => await write(writer)))
