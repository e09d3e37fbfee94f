/** A STUN server on a machine of the lab, at its two addresses and the ports 3478 and 3479. Started by `behaviour.test.ts`. */
import { fakeStunServer } from '../fake/stun-server.ts'

const [first = '', second = ''] = process.argv.slice(2)
await fakeStunServer({ hosts: [first, second], ports: [3_478, 3_479] })
process.stdout.write('ready\n')
