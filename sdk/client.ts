/** A typed client of the local API, derived from the contract. */
import type { contract } from '../protocols/ipc/contract.ts'
import type { Client } from '../protocols/ipc/endpoint.ts'

export type NzClient = Client<typeof contract>
