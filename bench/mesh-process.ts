/** Some nodes of a mesh in a process of their own (mesh.ts). */
import type { Edge, MeshOrder } from './mesh.ts'
import { ownUsage } from './own-usage.ts'
import type { MeshNode, Pipe } from './pipe.ts'
import type { Reply } from './processes.ts'
import { isTransportName, transports } from './transports/index.ts'
import { messagesOf, send, serveWork } from './work.ts'
import type { Work } from './work.ts'

const [name = '', count = '1'] = process.argv.slice(2)
if (!isTransportName(name)) throw new Error(`no such transport: ${name}`)
const transport = await transports[name]()
if (transport.join === undefined) throw new Error(`${name} has no nodes for a mesh`)

// Whoever started this process has gone: nobody would end it.
process.on('disconnect', () => process.exit(0))

const nodes: MeshNode[] = []
for (let i = 0; i < Number(count); i++) nodes.push(await transport.join(serveWork))
let prepared: { readonly pipes: readonly Pipe[]; readonly work: Work } | null = null

process.on('message', (order: MeshOrder) => {
  if (order === 'usage') return reply(ownUsage(order))
  const done = order === 'go' ? go() : prepare(order.edges, order.work)
  done.then(reply, (error: unknown) => reply({ error: String(error) }))
})
reply({ addresses: nodes.map(({ address }) => address) })

async function prepare(edges: readonly Edge[], work: Work): Promise<Reply> {
  for (const pipe of prepared?.pipes ?? []) await pipe.close()
  const pipes: Pipe[] = []
  for (const { from, to } of edges) {
    const pipe = await nodes[from]?.open(to)
    if (pipe === undefined) throw new Error(`no node ${from} here`)
    pipes.push(pipe)
  }
  prepared = { pipes, work }
  return { address: '' }
}

async function go(): Promise<Reply> {
  if (prepared === null) throw new Error('nothing is prepared')
  const { pipes, work } = prepared
  const messages = messagesOf(work)
  const startedAt = performance.now()
  await Promise.all(pipes.map(async (pipe) => await send(pipe, work, messages)))
  return { ms: performance.now() - startedAt, roundTripsMs: [] }
}

function reply(message: Reply): void {
  process.send?.(message)
}
