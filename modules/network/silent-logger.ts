/**
 * For libp2p, which makes three loggers for each layer of each connection, also when nobody reads them: more work than
 * the secrets of a handshake.
 */
import type { ComponentLogger, Logger } from '@libp2p/interface'

const nothing = (): void => undefined

const silent: Logger = Object.assign(() => undefined, {
  enabled: false,
  error: nothing,
  trace: nothing,
  newScope: (): Logger => silent,
})

export const silentLogger: ComponentLogger = { forComponent: () => silent }
