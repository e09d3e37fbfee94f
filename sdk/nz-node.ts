/** A node as an application sees it: the daemon's or an embedded one, by the same interface. */
import { isNzError, sleep, systemClock } from '../kernel/index.ts'
import { createStoredFiles } from './files.ts'
import { NodeStream } from './stream.ts'
import { receiveOver, sendOver } from './transfers.ts'
import type { NzClient } from './client.ts'
import type { StoredFiles } from './files.ts'
import type { ReceiveOptions, Receiving, SendOptions, SendSource, Transfer } from './transfers.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
}

type ResultOf<Id extends keyof NzClient> = NzClient[Id] extends (...args: never[]) => Promise<infer Result>
  ? Result
  : NzClient[Id] extends (...args: never[]) => AsyncIterable<infer Item>
    ? Item
    : never

/** How the node is: `nz.status/1`. */
export type NodeStatus = ResultOf<'nodeStatus'>
export type PeerStatus = NodeStatus['peers'][number]
export type Contact = ResultOf<'contactsList'>['contacts'][number]
export type Invite = ResultOf<'invitesCreate'>['invite']
export type InviteChange = ResultOf<'invitesWatch'>
export type Join = ResultOf<'joinsStart'>['join']
export type NodeEvent = ResultOf<'eventsFollow'>

/** An invite of this node. Hand the ticket over by any means; whoever has it may join once. */
export interface OpenInvite {
  readonly invite: Invite
  /** `nzi1…` */
  readonly ticket: string
  /** The invite and the join that uses it, as they change, until it is over. */
  readonly changes: (options?: CallOptions) => AsyncIterable<InviteChange>
}

/** A join under way: show `words` on both screens and let a person compare them. */
export interface OpenJoin {
  readonly join: Join
  readonly words: readonly string[]
  /** Says whether the words were the same. */
  readonly decide: (accepts: boolean, options?: CallOptions) => Promise<Join>
  /** The join as it changes, until it is over. */
  readonly changes: (options?: CallOptions) => AsyncIterable<Join>
}

export interface EventOptions extends CallOptions {
  /** Exact names, or areas such as `network`; default: all. */
  readonly names?: readonly string[]
  /** `cursor` of the last event that was read; default: from now on. */
  readonly after?: string
  /**
   * Whether to connect again when the node goes away, and go on after the last event; what was lost meanwhile is told
   * as a `gap`. Tries after 0.25 s, then ever less often, at least every 10 s, until `signal` aborts. @default false
   */
  readonly reconnects?: boolean
}

/**
 * Every call takes an `AbortSignal` and rejects with an `NzError`: match on its `code`. Nothing is tried twice but by
 * `events({ reconnects: true })`; `error.retryable` says whether trying again makes sense.
 */
export interface NzNode extends AsyncDisposable {
  /** The whole local API, one method an endpoint, as spec/openapi.json describes it. */
  readonly api: NzClient
  /** Large files kept encrypted on the node's machine, by name. */
  readonly files: StoredFiles
  status(options?: CallOptions): Promise<NodeStatus>
  /** Peers the node is or was connected to, and keeps connections to. */
  peers(options?: CallOptions): Promise<readonly PeerStatus[]>
  contacts(options?: CallOptions): Promise<readonly Contact[]>
  /** Makes a single-use ticket. `accepts: 'automatically'` needs no person here; default `ask`. */
  invite(options?: CallOptions & { expiresInMs?: number; accepts?: 'ask' | 'automatically' }): Promise<OpenInvite>
  /** Uses a ticket: connects to the inviter and proves both sides. @throws NZ_INVITE_USED, NZ_INVITE_EXPIRED, … */
  join(ticket: string, options?: CallOptions & { accepts?: 'ask' | 'automatically'; name?: string }): Promise<OpenJoin>
  /** What happens in the node, in order. */
  events(options?: EventOptions): AsyncIterable<NodeEvent>
  /**
   * A stream to the program that serves `protocol` (`/app/<name>/<version>`) on the node of a contact, named by name,
   * id or peer id. Connects if need be. @throws NZ_CONTACTS_NOT_FOUND, NZ_NETWORK_UNREACHABLE
   */
  openStream(peer: string, protocol: string, options?: CallOptions): Promise<NodeStream>
  /**
   * Streams that contacts open to this node, one after another, until the loop is left, `signal` aborts or this node is
   * closed; streams that were taken go on when the loop ends.
   */
  acceptStreams(protocol: string, options?: CallOptions): AsyncIterable<NodeStream>
  /**
   * Sends to a contact that takes `name` (by `receive`, `nzcore listen` or `nzcore receive`). Resumes after cuts;
   * resolves when the receiver has signed for everything. @throws NZ_TRANSFERS_NOT_RECEIVING, NZ_TRANSFERS_TIMED_OUT, …
   */
  send(peer: string, name: string, source: SendSource, options?: SendOptions): Promise<Transfer>
  /** Waits for the next transfer of `name` and takes its bytes. */
  receive(name: string, options?: ReceiveOptions): Promise<Receiving>
  /** Lets the node go: an embedded one stops, a daemon runs on. Idempotent. */
  close(): Promise<void>
}

export function createNzNode(api: NzClient, letGo: () => Promise<void>): NzNode {
  const closed = new AbortController()
  const close = async (): Promise<void> => {
    closed.abort(new DOMException('the node was closed', 'AbortError'))
    await letGo()
  }
  return {
    api,
    files: createStoredFiles(api),
    status: async (options) => await api.nodeStatus({}, options),
    peers: async (options) => (await api.nodeStatus({}, options)).peers,
    contacts: async (options) => (await api.contactsList({}, options)).contacts,
    async invite({ signal, ...params } = {}) {
      const { invite, ticket } = await api.invitesCreate(params, only(signal))
      const { inviteId } = invite
      return { invite, ticket, changes: (options) => api.invitesWatch({ inviteId }, options) }
    },
    async join(ticket, { signal, ...params } = {}) {
      const { join } = await api.joinsStart({ ticket, ...params }, only(signal))
      return openJoin(api, join)
    },
    events: (options = {}) => followEvents(api, options),
    openStream: async (peer, protocol, options) =>
      await NodeStream.over(await api.streamsOpen({ peer, protocol }, options)),
    acceptStreams: (protocol, { signal } = {}) =>
      acceptStreams(api, protocol, signal === undefined ? closed.signal : AbortSignal.any([closed.signal, signal])),
    send: async (peer, name, source, options = {}) => await sendOver(api, { peer, name }, source, options),
    receive: async (name, options = {}) => await receiveOver(api, name, options),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function openJoin(api: NzClient, join: Join): OpenJoin {
  const { joinId } = join
  return {
    join,
    words: join.words,
    decide: async (accepts, options) => (await api.joinsDecide({ joinId, accepts }, options)).join,
    async *changes(options) {
      for await (const change of api.joinsWatch({ joinId }, options)) yield change.join
    },
  }
}

async function* acceptStreams(api: NzClient, protocol: string, signal: AbortSignal): AsyncGenerator<NodeStream, void> {
  // Leaving the loop must not end the streams that were taken, so each accept has a signal of its own until it is taken.
  while (!isAborted(signal)) {
    const waiting = new AbortController()
    const onAbort = (): void => waiting.abort(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    let stream: NodeStream
    try {
      stream = await NodeStream.over(await api.streamsAccept({ protocol }, { signal: waiting.signal }))
    } catch (error) {
      if (isAborted(signal)) return
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    yield stream
  }
}

const FIRST_RECONNECT_MS = 250
const LONGEST_RECONNECT_MS = 10_000

async function* followEvents(
  api: NzClient,
  { names, after, reconnects = false, signal }: EventOptions,
): AsyncGenerator<NodeEvent, void> {
  let cursor = after
  let delayMs = FIRST_RECONNECT_MS
  for (;;) {
    try {
      const params = {
        ...(names === undefined ? {} : { names: [...names] }),
        ...(cursor === undefined ? {} : { after: cursor }),
      }
      for await (const event of api.eventsFollow(params, only(signal))) {
        cursor = event.cursor
        delayMs = FIRST_RECONNECT_MS
        yield event
      }
      return
    } catch (error) {
      if (!reconnects || isAborted(signal) || !isAway(error)) throw error
    }
    await sleep(systemClock, delayMs, { signal: signal ?? new AbortController().signal })
    delayMs = Math.min(2 * delayMs, LONGEST_RECONNECT_MS)
  }
}

/** Whether the node is not there, as opposed to having refused. */
function isAway(error: unknown): boolean {
  return isNzError(error, 'NZ_IPC_NOT_RUNNING', 'NZ_IPC_CONNECTION_LOST', 'NZ_IPC_STOPPING')
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

function only(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal }
}
