/** The whole contract of the local API: one group a file, in contract/. */
import { backupContract } from './contract/backup.ts'
import { configContract } from './contract/config.ts'
import { contactsContract } from './contract/contacts.ts'
import { filesContract } from './contract/files.ts'
import { forwardsContract } from './contract/forwards.ts'
import { identityContract } from './contract/identity.ts'
import { doctorContract } from './contract/doctor.ts'
import { documentsContract } from './contract/documents.ts'
import { eventLogContract } from './contract/eventlog.ts'
import { eventsContract } from './contract/events.ts'
import { logsContract } from './contract/logs.ts'
import { networkContract } from './contract/network.ts'
import { nodeContract } from './contract/node.ts'
import { routeContract } from './contract/route.ts'
import { storageContract } from './contract/storage.ts'
import { discoveryContract } from './contract/discovery.ts'
import { introductionsContract } from './contract/introductions.ts'
import { trustContract } from './contract/trust.ts'
import { streamsContract } from './contract/streams.ts'
import { tokensContract } from './contract/tokens.ts'
import { transfersContract } from './contract/transfers.ts'
import { defineContract } from './endpoint.ts'

export const contract = defineContract({
  ...nodeContract,
  ...eventsContract,
  ...logsContract,
  ...configContract,
  ...tokensContract,
  ...identityContract,
  ...networkContract,
  ...contactsContract,
  ...forwardsContract,
  ...transfersContract,
  ...streamsContract,
  ...doctorContract,
  ...storageContract,
  ...eventLogContract,
  ...documentsContract,
  ...filesContract,
  ...backupContract,
  ...trustContract,
  ...discoveryContract,
  ...introductionsContract,
  ...routeContract,
})
