/**
 * Schemas of the documents that commands with a flow of their own print with `--json`; those of derived commands are
 * in the contract. Loaded by tests and by whoever publishes the schemas, never by a command.
 */
import { z } from 'zod'
import { PartRootView } from '../../protocols/ipc/contract/backup.ts'
import { ConfigEntryItem } from '../../protocols/ipc/contract/config.ts'
import { TransferView } from '../../protocols/ipc/contract/transfers.ts'
import { DamagedFileView, StoredFileView } from '../../protocols/ipc/contract/files.ts'
import { LogProofView } from '../../protocols/ipc/contract/eventlog.ts'
import { Diagnosis } from '../../protocols/ipc/contract/doctor.ts'
import { IdentityDocument } from '../../protocols/ipc/contract/identity.ts'

const exit = z.string().describe('name of the exit code')

const restored = {
  id: z.string().describe('nz1… whose home it is'),
  peerId: z.string(),
  archives: z.number().int(),
  items: z.number().int(),
  bytes: z.number().int(),
  asOfMs: z.number().int().describe('moment of the last archive, milliseconds since 1970'),
  roots: z.array(PartRootView),
}

export const documents = {
  'nz.error/1': z.strictObject({
    code: z.string().regex(/^NZ_[A-Z0-9_]+$/),
    what: z.string(),
    why: z.string().nullable(),
    do: z.array(z.string()),
    retryable: z.boolean(),
    data: z.record(z.string(), z.unknown()),
  }),
  'nz.explain/1': z.strictObject({
    code: z.string(),
    what: z.string(),
    do: z.array(z.string()),
    exit,
    retryable: z.boolean(),
  }),
  'nz.id/1': z.strictObject({
    profile: z.string(),
    id: z.string().describe('nz1…, what people copy'),
    peerId: z.string().describe('libp2p peer id, base58btc'),
    fingerprint: z.array(z.string()).describe('words for people to compare'),
  }),
  'nz.identity/1': IdentityDocument,
  'nz.identity.phrase/1': z.strictObject({ words: z.array(z.string()).length(24) }),
  'nz.backupVerified/1': z.strictObject({ ...restored, folder: z.string() }),
  'nz.backupRestored/1': z.strictObject({
    ...restored,
    stateDir: z.string(),
    setAside: z.string().nullable().describe('where the home that was in the way lies now'),
    configBeside: z.string().nullable().describe('where the restored configuration lies when there was one already'),
  }),
  'nz.backupPhrase/1': z.strictObject({ id: z.string(), peerId: z.string(), isRight: z.literal(true) }),
  'nz.backupShares/1': z.strictObject({
    count: z.number().int(),
    threshold: z.number().int().describe('shares that give the words back'),
    shares: z.array(z.string()).describe('empty when they were written to files'),
    files: z.array(z.string()),
  }),
  'nz.identity.export/1': z.strictObject({ file: z.string(), id: z.string(), peerId: z.string() }),
  'nz.up/1': z.strictObject({
    isNew: z.boolean().describe('false when the node ran already'),
    isNewIdentity: z.boolean().describe('whether this start has created the identity'),
    readyMs: z
      .number()
      .min(0)
      .nullable()
      .describe('from the start of the process until it was ready; null when it ran already'),
    pid: z.number().int(),
    profile: z.string(),
    id: z.string().describe('nz1… of this node'),
    fingerprint: z.array(z.string()),
    protection: z.enum(['passphrase', 'key-file']),
    isBackedUp: z.boolean(),
    stateDir: z.string(),
    addresses: z.array(z.string()),
    memoryBytes: z.number().int().min(0),
  }),
  'nz.doctor/1': Diagnosis,
  'nz.sim/1': z.strictObject({
    scenario: z.string(),
    seed: z.number().int(),
    nodes: z.number().int(),
    liars: z.number().int().describe('how many of the nodes lie'),
    isPassed: z.boolean(),
    violations: z.array(z.string()).describe('what must not have happened and did, the first ones'),
    convergedAfterMs: z
      .number()
      .int()
      .nullable()
      .describe('simulated time from healing until honest nodes agreed; null: they did not'),
    simulatedMs: z.number().int(),
    events: z.number().int().describe('lines of the trace'),
    digest: z.string().describe('SHA-256 over the trace: equal for equal runs'),
    counts: z.record(z.string(), z.number().int()),
  }),
  'nz.simScenarios/1': z.strictObject({
    scenarios: z.array(
      z.strictObject({ name: z.string(), summary: z.string(), nodes: z.number().int(), minNodes: z.number().int() }),
    ),
  }),
  'nz.bench/1': z.strictObject({
    machine: z.strictObject({
      cpu: z.string(),
      cores: z.number().int(),
      memoryMb: z.number().int(),
      system: z.string(),
      node: z.string(),
      load: z.number().describe('processes that wanted a core, on average over the last minute'),
      commit: z.string().nullable().describe('of the checkout it runs from; null elsewhere'),
    }),
    results: z.array(
      z.strictObject({
        scenario: z.string(),
        title: z.string(),
        rounds: z.number().int(),
        failures: z
          .array(z.strictObject({ variant: z.string(), why: z.string() }))
          .optional()
          .describe('what was measured and has no figure, and why'),
        figures: z.array(
          z.strictObject({
            name: z.string().describe('what was measured'),
            median: z.number(),
            min: z.number(),
            max: z.number(),
            unit: z.string(),
            ratio: z.number().nullable().describe('to the first figure; null for the first'),
            cost: z
              .strictObject({
                cpuMs: z.number().describe('of both processes in one round, in milliseconds'),
                peakMb: z.number().describe('resident memory of the larger process at its peak, in MB'),
              })
              .optional()
              .describe('what it took, where that was measured'),
          }),
        ),
      }),
    ),
  }),
  'nz.stopped/1': z.strictObject({
    wasRunning: z.boolean(),
    pid: z.number().int().nullable().describe('process that has ended; null when none ran'),
  }),
  'nz.config-check/1': z.strictObject({
    files: z.array(z.string()).describe('files that are read, weakest first'),
    changes: z.number().int().min(0).describe('keys that do not have their default'),
  }),
  'nz.config-diff/1': z.strictObject({
    isRunning: z.boolean(),
    changes: z.array(ConfigEntryItem).describe('what differs from the defaults'),
    differing: z
      .array(z.strictObject({ path: z.string(), value: z.unknown(), running: z.unknown() }))
      .describe('what the running node uses instead'),
  }),
  'nz.config-key/1': ConfigEntryItem,
  'nz.config-set/1': ConfigEntryItem.extend({ file: z.string().describe('file that was written') }),
  'nz.received/1': z.strictObject({ transfer: TransferView }),
  'nz.completion/1': z.strictObject({
    shell: z.string(),
    script: z.string(),
    install: z.string().describe('what to do with the script'),
  }),
  'nz.wait/1': z.strictObject({
    peerId: z.string().nullable().describe('null when the node itself was waited for'),
    name: z.string().nullable(),
    transport: z.string().nullable(),
    waitedMs: z.number().min(0),
  }),
  'nz.fileKept/1': z.strictObject({ file: StoredFileView }),
  'nz.fileRead/1': z.strictObject({
    file: StoredFileView,
    start: z.number().int().describe('first byte that was read'),
    end: z.number().int().describe('the byte after the last one'),
    path: z.string().nullable().describe('file that was written; null for standard output'),
  }),
  'nz.filesVerify/1': z.strictObject({
    isIntact: z.boolean(),
    files: z.number().int().describe('names that were looked at'),
    bytes: z.number().int().describe('bytes that were read'),
    damaged: z.array(DamagedFileView).describe('at most 1,000'),
  }),
  'nz.logProofs/1': z.strictObject({ proofs: z.array(LogProofView) }),
  'nz.logExportProof/1': z.strictObject({
    log: z.string(),
    peerId: z.string().describe('the node that has signed the export'),
    after: z.number().int().describe('entries behind this one were exported'),
    last: z.number().int(),
    hash: z.string().describe('hash of the last entry'),
    entries: z.number().int(),
    gaps: z.number().int(),
    atMs: z.number().int().describe('when, as the node says, milliseconds since 1970'),
  }),
  'nz.profiles/1': z.strictObject({
    profiles: z.array(
      z.strictObject({
        name: z.string(),
        isUsed: z.boolean().describe('chosen by `nzcore profile use`'),
        isCurrent: z.boolean().describe('used by this very command'),
      }),
    ),
  }),
  'nz.profile/1': z.strictObject({
    profile: z.string(),
    configFile: z.string(),
    stateDir: z.string(),
    keyFile: z.string(),
    logDir: z.string(),
    socketPath: z.string(),
  }),
  'nz.profile-created/1': z.strictObject({
    profile: z.string(),
    id: z.string(),
    peerId: z.string(),
    protection: z.enum(['passphrase', 'key-file']),
  }),
  'nz.profile-used/1': z.strictObject({ profile: z.string() }),
} satisfies Readonly<Record<`nz.${string}/${number}`, z.ZodType>>
