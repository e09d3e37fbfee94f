/**
 * Every group of commands, one line each. Groups are loaded when one of their commands runs, so a group's imports cost
 * the other commands nothing.
 */
import type { CommandGroups } from '../command-table.ts'

export const commandGroups: CommandGroups = {
  forwards: async () => {
    const { forwardsPresenters } = await import('./forwards.ts')
    return { commands: [], presenters: forwardsPresenters }
  },
  contacts: async () => {
    const { contactsCommands, contactsPresenters } = await import('./contacts.ts')
    return { commands: contactsCommands, presenters: contactsPresenters }
  },
  network: async () => {
    const { networkCommands, networkPresenters } = await import('./network.ts')
    return { commands: networkCommands, presenters: networkPresenters }
  },
  transfers: async () => {
    const { transfersCommands, transfersPresenters } = await import('./transfers.ts')
    return { commands: transfersCommands, presenters: transfersPresenters }
  },
  about: async () => {
    const { aboutCommands, aboutPresenters } = await import('./about.ts')
    return { commands: aboutCommands, presenters: aboutPresenters }
  },
  bench: async () => {
    const { benchCommands, benchPresenters } = await import('./bench.ts')
    return { commands: benchCommands, presenters: benchPresenters }
  },
  doctor: async () => {
    const { doctorCommands, doctorPresenters } = await import('./doctor.ts')
    return { commands: doctorCommands, presenters: doctorPresenters }
  },
  identity: async () => {
    const { identityCommands, identityPresenters } = await import('./identity.ts')
    return { commands: identityCommands, presenters: identityPresenters }
  },
  node: async () => {
    const { nodeCommands, nodePresenters } = await import('./node.ts')
    return { commands: nodeCommands, presenters: nodePresenters }
  },
  logs: async () => {
    const { logsCommands, logsPresenters } = await import('./logs.ts')
    return { commands: logsCommands, presenters: logsPresenters }
  },
  storage: async () => {
    const { storageCommands, storagePresenters } = await import('./storage.ts')
    return { commands: storageCommands, presenters: storagePresenters }
  },
  eventlog: async () => {
    const { eventLogCommands, eventLogPresenters } = await import('./eventlog.ts')
    return { commands: eventLogCommands, presenters: eventLogPresenters }
  },
  documents: async () => {
    const { documentsCommands, documentsPresenters } = await import('./documents.ts')
    return { commands: documentsCommands, presenters: documentsPresenters }
  },
  files: async () => {
    const { filesCommands, filesPresenters } = await import('./files.ts')
    return { commands: filesCommands, presenters: filesPresenters }
  },
  backup: async () => {
    const { backupCommands, backupPresenters } = await import('./backup.ts')
    return { commands: backupCommands, presenters: backupPresenters }
  },
  discovery: async () => {
    const { discoveryCommands, discoveryPresenters } = await import('./discovery.ts')
    return { commands: discoveryCommands, presenters: discoveryPresenters }
  },
  trust: async () => {
    const { trustCommands, trustPresenters } = await import('./trust.ts')
    return { commands: trustCommands, presenters: trustPresenters }
  },
  sim: async () => {
    const { simCommands, simPresenters } = await import('./sim.ts')
    return { commands: simCommands, presenters: simPresenters }
  },
  route: async () => {
    const { routeCommands, routePresenters } = await import('./route.ts')
    return { commands: routeCommands, presenters: routePresenters }
  },
  config: async () => {
    const { configCommands, configPresenters } = await import('./config.ts')
    return { commands: configCommands, presenters: configPresenters }
  },
  shell: async () => {
    const { shellCommands, shellPresenters } = await import('./shell.ts')
    return { commands: shellCommands, presenters: shellPresenters }
  },
  tokens: async () => {
    const { tokensPresenters } = await import('./tokens.ts')
    return { commands: [], presenters: tokensPresenters }
  },
  profile: async () => {
    const { profileCommands, profilePresenters } = await import('./profile.ts')
    return { commands: profileCommands, presenters: profilePresenters }
  },
}

/** What the parents of nested commands are about. */
export const parentSummaries: Readonly<Record<string, string>> = {
  backup: 'Keep encrypted archives of everything, prove them, and come back from them',
  config: 'Read, check and change the configuration',
  dns: 'Look up nodes at DNS names',
  docs: 'Keep versioned documents that never lose a fork',
  files: 'Keep large files, encrypted, by name',
  forward: 'Carry a local TCP port to a service of a peer',
  identity: 'Create, back up, recover and protect the identity',
  kv: 'Keep small records of your own, encrypted',
  log: 'Keep append-only logs that prove themselves',
  profile: 'Keep several identities apart on one machine',
  sim: 'Run the protocols in a seeded simulation with everything going wrong',
  route: 'See which peers are reached through other nodes',
  storage: 'Look after the encrypted store',
  discovery: 'Find peers and small values through other nodes',
  introductions: 'Make contacts known to each other, and decide whom to be introduced to',
  service: 'Announce and find services',
  trust: 'State, explain and replicate how far peers are trusted',
  token: 'Let programs use the local API over TCP',
}
