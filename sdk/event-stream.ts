/** Reads the server-sent events of a `stream` endpoint: one result each. */
import type { IncomingMessage } from 'node:http'
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { MAX_EVENT_BYTES } from '../protocols/ipc/limits.ts'
import { errorFromProblem } from '../protocols/ipc/problem.ts'
import type { CallOptions, Route } from '../protocols/ipc/endpoint.ts'
import { lost, sendRequest } from './http.ts'
import type { Target } from './http.ts'

/** Leaving the loop, or aborting the signal, closes the connection. Ends when the node ends the stream. */
export async function* readEvents(
  target: Target,
  route: Route,
  params: object,
  options: CallOptions = {},
): AsyncGenerator<unknown> {
  const response = await sendRequest(target, route, params, options, { accept: 'text/event-stream' })
  try {
    for await (const { type, data } of eventsOf(response, options.signal)) {
      if (type === 'end') return
      const value = parsed(data)
      if (type === 'error') throw errorFromProblem(value)
      yield value
    }
    throw ipcErrors.NZ_IPC_CONNECTION_LOST()
  } finally {
    response.destroy()
  }
}

interface SentEvent {
  readonly type: string
  readonly data: string
}

async function* eventsOf(response: IncomingMessage, signal?: AbortSignal): AsyncGenerator<SentEvent> {
  let rest = ''
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      const blocks = (rest + chunk).split('\n\n')
      rest = blocks.pop() ?? ''
      if (rest.length > MAX_EVENT_BYTES) throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'an event is too large' })
      for (const block of blocks) {
        const event = eventOf(block)
        if (event.data !== '') yield event
      }
    }
  } catch (error) {
    throw lost(error, signal)
  }
}

/** Comments (heartbeats) come out without data. */
function eventOf(block: string): SentEvent {
  let type = 'message'
  let data = ''
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) type = line.slice('event: '.length)
    else if (line.startsWith('data: ')) data += line.slice('data: '.length)
  }
  return { type, data }
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data) as unknown
  } catch (cause) {
    throw ipcErrors.NZ_IPC_ANSWER_INVALID({ cause })
  }
}
