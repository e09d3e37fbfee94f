/** Ports for listeners that must find the same port again after a restart. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below what Linux, macOS and Windows give to outgoing connections, so that none of them takes it meanwhile.
const FIRST_PORT = 20_000
const LAST_PORT = 32_000
const TRIES = 50

/** A TCP port of 127.0.0.1 on which nobody listens. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST_PORT, LAST_PORT)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
  throw new Error(`no free port from ${FIRST_PORT} to ${LAST_PORT}`)
}
