/** When a new peer is asked who it is. On a simulated clock. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { Identification, IDENTIFY_DELAY_MS } from '../../modules/network/identification.ts'
import type { Connection } from '@libp2p/interface'

function identification() {
  const clock = new SimulatedClock()
  const asked: Connection[] = []
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const identify = async (connection: Connection): Promise<void> => void asked.push(connection)
  const letGo: number[] = []
  const onLetGo = (_connection: Connection, openMs: number): void => void letGo.push(openMs)
  return { clock, asked, letGo, made: new Identification({ clock, log, identify, onLetGo }) }
}

const connectionOf = (status: string, direction = 'outbound'): Connection =>
  ({ status, direction, remotePeer: 'peer' }) as unknown as Connection

describe('identification', () => {
  it('asks a moment after the connection has opened', async () => {
    const { clock, asked, made } = identification()
    const connection = connectionOf('open')
    made.opened(connection)
    await clock.advance(IDENTIFY_DELAY_MS - 1)
    assert.deepEqual(asked, [])
    await clock.advance(1)
    assert.deepEqual(asked, [connection])
  })

  it('asks nobody who has gone, and nobody once it is stopped', async () => {
    const { clock, asked, made } = identification()
    const gone = connectionOf('closed')
    made.opened(gone)
    made.closed(gone)
    made.opened(connectionOf('closing'))
    await clock.advance(IDENTIFY_DELAY_MS)
    made.opened(connectionOf('open'))
    made.stop()
    await clock.advance(IDENTIFY_DELAY_MS)
    assert.deepEqual(asked, [])
  })

  it('tells of connections that the peer ends before it has answered, and of no others', async () => {
    const { clock, letGo, made } = identification()
    const [early, own, incoming, answered] = [
      connectionOf('open'),
      connectionOf('open'),
      connectionOf('open', 'inbound'),
      connectionOf('open'),
    ]
    for (const each of [early, own, incoming, answered]) made.opened(each)
    await clock.advance(5)
    made.gone(early)
    made.closed(own)
    made.gone(own)
    made.gone(incoming)
    await clock.advance(IDENTIFY_DELAY_MS)
    made.gone(answered)
    assert.deepEqual(letGo, [5])
  })
})
