/** What others may know of `forwards`: TCP services of contacts on local ports, and local services for contacts. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

interface ForwardBase {
  /** `fwd_…` */
  readonly forwardId: string
  readonly service: string
  /** Open now. */
  readonly connections: number
  /** Opened since the node started. */
  readonly totalConnections: number
  /** Why the last connection was refused or the listener failed; `null` when all is well. */
  readonly lastCode: string | null
  /** To and from the peer since the node started. */
  readonly txBytes: number
  readonly rxBytes: number
}

/** Connections to a local port go to a service of a peer. */
export interface LocalForward extends ForwardBase {
  readonly kind: 'local'
  readonly peerId: string
  readonly host: string
  readonly port: number
  readonly state: 'listening' | 'failed'
}

/** Connections of contacts to a service go to a TCP address that this machine reaches. */
export interface ExposedForward extends ForwardBase {
  readonly kind: 'exposed'
  readonly host: string
  readonly port: number
  /** Peer ids; `null`: every contact. */
  readonly allow: readonly string[] | null
}

export type Forward = LocalForward | ExposedForward

export interface ForwardsService {
  list(): readonly Forward[]
  /**
   * Listens on a local port, also after restarts. Port 0: any free one, which then stays.
   *
   * @throws NZ_FORWARD_INVALID, NZ_FORWARD_PORT_TAKEN, NZ_FORWARD_PORT_DENIED, NZ_FORWARD_TOO_MANY
   */
  forward(options: {
    readonly peerId: string
    readonly service: string
    readonly host: string
    readonly port: number
  }): Promise<LocalForward>
  /**
   * Offers a TCP address to contacts under a name, also after restarts.
   *
   * @throws NZ_FORWARD_INVALID, NZ_FORWARD_EXISTS, NZ_FORWARD_TOO_MANY
   */
  expose(options: {
    readonly service: string
    readonly host: string
    readonly port: number
    readonly allow: readonly string[] | null
  }): Promise<ExposedForward>
  /** Ends it and its connections. By id, or by service name when only one has it. @throws NZ_FORWARD_NOT_FOUND */
  stop(reference: string): Promise<Forward>
}

export const ForwardsService = defineService<ForwardsService>('forwards')

export const forwardsEvents = defineEvents('forwards', {
  added: z.strictObject({ forwardId: z.string(), kind: z.enum(['local', 'exposed']), service: z.string() }),
  removed: z.strictObject({ forwardId: z.string(), service: z.string() }),
  refused: z.strictObject({ peerId: z.string(), service: z.string(), code: z.string() }),
})

export const forwardsErrors = defineErrors({
  NZ_FORWARD_INVALID: {
    message: 'that cannot be forwarded',
    fix: ['name a service with lower-case letters and digits, and an address as 127.0.0.1:80'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_FORWARD_NOT_FOUND: {
    message: 'no such forward',
    fix: ['nzcore forward list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_FORWARD_EXISTS: {
    message: 'a service of that name is offered already',
    fix: ['nzcore forward list', 'nzcore forward stop <service>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_FORWARD_TOO_MANY: {
    message: 'too many forwards',
    fix: ['nzcore forward list', 'nzcore forward stop <forward>'],
    status: 429,
    exit: 'conflict',
    retryable: false,
  },
  NZ_FORWARD_PORT_TAKEN: {
    message: 'the local port is taken',
    fix: ['choose another one: --local <port>', 'leave --local out: any free port is taken'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_FORWARD_PORT_DENIED: {
    message: 'the node may not listen there',
    fix: ['choose a port above 1023 and an address of this machine'],
    status: 403,
    exit: 'permission',
    retryable: false,
  },
  NZ_FORWARD_SERVICE_UNKNOWN: {
    message: 'the peer offers no service of that name',
    fix: ['nzcore forward expose <service> --to 127.0.0.1:<port> (on the other machine)'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_FORWARD_REFUSED: {
    message: 'the peer does not let this node use the service',
    fix: ['ask for it: nzcore forward expose <service> --to … --allow <this node> (on the other machine)'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_FORWARD_BUSY: {
    message: 'too many connections are open',
    fix: ['close some and try again'],
    status: 503,
    exit: 'conflict',
    retryable: true,
  },
  NZ_FORWARD_TARGET: {
    message: 'the peer cannot reach its own service',
    fix: ['start the service on the other machine, then: nzcore forward list'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_FORWARD_PROTOCOL: {
    message: 'the other side did not keep to the forward protocol',
    fix: ['run the same version of nzcore on both machines: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_FORWARD_DAMAGED: {
    message: 'the list of forwards cannot be read',
    fix: ['remove data.file from the state folder and set the forwards up again', 'nzcore doctor'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
