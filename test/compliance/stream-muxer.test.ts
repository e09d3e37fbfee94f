/** libp2p's official stream-muxer suite against the muxer the node uses. */
import './mocha-globals.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'

const { default: streamMuxerSuite } = await import('@libp2p/interface-compliance-tests/stream-muxer')

streamMuxerSuite({
  async setup() {
    return typescriptMuxer()()
  },
  async teardown() {},
})
