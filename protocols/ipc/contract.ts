/** The whole contract of the local API: one group a file, in contract/. */
import { networkContract } from './contract/network.ts'
import { nodeContract } from './contract/node.ts'
import { defineContract } from './endpoint.ts'

export const contract = defineContract({ ...nodeContract, ...networkContract })
