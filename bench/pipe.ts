/** What every variant of a bench looks like: an ordered stream of bytes in both directions. */

export interface Pipe {
  /** Sends one message; a promise when there is no room for more yet. */
  write(bytes: Uint8Array): Promise<void> | undefined
  /** Sends what is still held back. */
  flush(): void
  /** Called once, before anything is written. */
  onBytes(listener: (bytes: Uint8Array) => void): void
  /** Reads no more: what the peer sends from now on is its own affair. */
  pause(): void
  close(): Promise<void>
}

export interface Server {
  /** Where `connect` finds it; a JSON value. */
  readonly address: string
  close(): Promise<void>
}

export interface Client {
  /** A new connection, secured and ready for streams, beside those that stand; closes it again. */
  dial(): Promise<void>
  /** A new stream; a connection that already stands is used where the transport has one for many streams. */
  open(): Promise<Pipe>
  /** `count` more connections, which stay until `close`. Only where one client can have many. */
  hold?(count: number): Promise<void>
  close(): Promise<void>
}

/** One of many in a mesh: listens, and dials others of its kind. */
export interface MeshNode {
  readonly address: string
  /** A new stream, over the connection to that node where there is one already. */
  open(address: string): Promise<Pipe>
  close(): Promise<void>
}

export interface TransportOptions {
  /** A folder of this side alone; removed after the bench. */
  readonly folder: string
}

export interface Transport {
  serve(onPipe: (pipe: Pipe) => void, options: TransportOptions): Promise<Server>
  connect(address: string, options: TransportOptions): Promise<Client>
  /** Many of these fit into one process. */
  join?(onPipe: (pipe: Pipe) => void): Promise<MeshNode>
}
