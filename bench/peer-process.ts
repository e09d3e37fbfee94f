/** One side of a bench in a process of its own, told what to do by the process that measures (processes.ts). */
import { join } from 'node:path'
import { ownUsage } from './own-usage.ts'
import { isTransportName, transports } from './transports/index.ts'
import { measureWork, serveWork } from './work.ts'
import type { Client } from './pipe.ts'
import type { Order, Reply, UsageOrder } from './processes.ts'

const [role, name = '', folder = '', address = '', count = '1'] = process.argv.slice(2)
if (!isTransportName(name)) throw new Error(`no such transport: ${name}`)
const transport = await transports[name]()

// Whoever started this process has gone: nobody would end it.
process.on('disconnect', () => process.exit(0))

process.on('message', (order: unknown) => {
  if (order !== 'usage' && order !== 'usage-collected') return
  reply(ownUsage(order))
})

if (role === 'server') {
  const server = await transport.serve(serveWork, { folder })
  reply({ address: server.address })
} else {
  const clients: Client[] = []
  for (let i = 0; i < Number(count); i++) {
    clients.push(await transport.connect(address, { folder: i === 0 ? folder : join(folder, String(i)) }))
  }
  process.on('message', (order: Order | UsageOrder) => {
    if (typeof order === 'string') return
    const { work, timeoutMs } = order
    void Promise.all(clients.map(async (client) => await measureWork(client, work, timeoutMs))).then(
      (measured) =>
        reply({
          roundTripsMs: [],
          ...measured[0],
          ms: Math.max(...measured.map(({ ms }) => ms)),
        }),
      (error: unknown) => reply({ error: String(error) }),
    )
  })
  reply({ address: '' })
}

function reply(message: Reply): void {
  process.send?.(message)
}
