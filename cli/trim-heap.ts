/** Gives back the memory that only the start of a node needed: about 30 MB of parsed modules and young generation. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** One full collection, some 30 ms long; V8 itself would put it off for minutes on an idle node. */
export function trimHeap(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void
  setFlagsFromString('--no-expose-gc')
  collect({ type: 'major', flavor: 'last-resort' })
}
