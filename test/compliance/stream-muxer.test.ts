/** libp2p's official stream-muxer suite against the muxer the node uses. */
import './mocha-globals.ts'
import { yamux } from '@libp2p/yamux'

const { default: streamMuxerSuite } = await import('@libp2p/interface-compliance-tests/stream-muxer')

streamMuxerSuite({
  async setup() {
    return yamux()()
  },
  async teardown() {},
})
