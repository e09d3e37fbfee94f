/** One side of a bench in a process of its own, told what to do by the process that measures (processes.ts). */
import { isTransportName, transports } from './transports/index.ts'
import { measureWork, serveWork } from './work.ts'
import type { Order, Reply } from './processes.ts'

const [role, name = '', folder = '', address = ''] = process.argv.slice(2)
if (!isTransportName(name)) throw new Error(`no such transport: ${name}`)
const transport = await transports[name]()

// Whoever started this process has gone: nobody would end it.
process.on('disconnect', () => process.exit(0))

process.on('message', (order: unknown) => {
  if (order !== 'usage') return
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  reply({ cpuMs: (userCPUTime + systemCPUTime) / 1_000, peakMb: (maxRSS * 1_024) / 1_000_000 })
})

if (role === 'server') {
  const server = await transport.serve(serveWork, { folder })
  reply({ address: server.address })
} else {
  const client = await transport.connect(address, { folder })
  process.on('message', (order: Order | 'usage') => {
    if (order === 'usage') return
    void measureWork(client, order.work, order.timeoutMs).then(reply, (error: unknown) =>
      reply({ error: String(error) }),
    )
  })
  reply({ address: '' })
}

function reply(message: Reply): void {
  process.send?.(message)
}
