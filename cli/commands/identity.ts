/** Who this node is: `id`, and `identity …` to create, back up, recover and protect it. */
import { isNzError } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { shortId } from '../text.ts'
import type { IdentityAdmin, IdentityFacts } from '../../modules/identity/service.ts'
import type { CliContext, CommandInput, CommandSpec, Option, Presenters } from '../command.ts'

export const identityPresenters: Presenters = {}

export const NEW_PROTECTION: readonly Option[] = [
  { flags: '--passphrase', summary: 'ask for a passphrase that protects the identity on this machine' },
  { flags: '--passphrase-file <file>', summary: 'read that passphrase from a file only you may read' },
]

const EXPORT_PASSPHRASE: Option = {
  flags: '--export-passphrase-file <file>',
  summary: 'read the passphrase of the export from a file only you may read',
}

/** A phrase on standard input is at most this long. */
const MAX_PHRASE_BYTES = 1_024

const WORDS_PER_LINE = 6

export const identityCommands: readonly CommandSpec[] = [
  {
    words: ['id'],
    summary: 'Show the id of this node and the words to compare',
    options: [
      { flags: '--qr', summary: 'also as a QR code' },
      { flags: '--full', summary: 'the whole id, not its short form' },
    ],
    schemaNames: ['nz.id/1'],
    run: showId,
  },
  {
    words: ['identity', 'show'],
    summary: 'Show the identity, its keys and how it is protected',
    schemaNames: ['nz.identity/1'],
    async run(context) {
      const document = await presentIdentity(context)
      context.output.answer('nz.identity/1', document, () => describe(document))
    },
  },
  {
    words: ['identity', 'create'],
    summary: 'Create the identity of this profile and show its 24 words once',
    options: NEW_PROTECTION,
    schemaNames: ['nz.identity/1'],
    run: create,
  },
  {
    words: ['identity', 'phrase'],
    summary: 'Show the 24 words that recover the identity',
    options: [{ flags: '--yes', summary: 'show them without asking' }],
    schemaNames: ['nz.identity.phrase/1'],
    run: showPhrase,
  },
  {
    words: ['identity', 'recover'],
    summary: 'Make the identity again from its 24 words, asked for or read from standard input',
    options: NEW_PROTECTION,
    schemaNames: ['nz.identity/1'],
    run: recover,
  },
  {
    words: ['identity', 'export'],
    summary: 'Write the identity to a file that a passphrase encrypts',
    args: [{ name: 'file', summary: 'file to write', isRequired: true, completes: 'file' }],
    options: [EXPORT_PASSPHRASE],
    schemaNames: ['nz.identity.export/1'],
    run: exportToFile,
  },
  {
    words: ['identity', 'import'],
    summary: 'Make the identity of an export the one of this profile',
    args: [{ name: 'file', summary: 'file that identity export has written', isRequired: true, completes: 'file' }],
    options: [EXPORT_PASSPHRASE, ...NEW_PROTECTION],
    schemaNames: ['nz.identity/1'],
    run: importFromFile,
  },
  {
    words: ['identity', 'passphrase'],
    summary: 'Protect the identity by another passphrase, or by a key file',
    options: [
      { flags: '--key-file', summary: 'by a key file, for a node that starts unattended' },
      { flags: '--passphrase-file <file>', summary: 'read the new passphrase from a file only you may read' },
    ],
    schemaNames: ['nz.identity/1'],
    run: changePassphrase,
  },
  {
    words: ['identity', 'adopt'],
    summary: 'Take the identity as it lies here after its folder was moved',
    schemaNames: ['nz.identity/1'],
    async run(context) {
      await using offline = await context.offline()
      answerFacts(context, await offline.identity.adopt(), 'identity belongs to this user and path now')
    },
  },
]

async function showId(context: CliContext, { options }: CommandInput): Promise<void> {
  const { output } = context
  const { profile, id, peerId, fingerprint } = await presentIdentity(context)
  const code = options['qr'] === true && !output.isJson ? await qrCode(id) : null
  output.answer('nz.id/1', { profile, id, peerId, fingerprint }, () => {
    const shown = options['full'] === true || !output.isTty ? id : shortId(id)
    const line = `${shown}   fingerprint ${fingerprint.join('-')}`
    return code === null ? line : `${line}\n\n${code}`
  })
}

async function create(context: CliContext, { options }: CommandInput): Promise<void> {
  const { output, prompt } = context
  await using offline = await context.offline()
  const { identity } = offline
  const isShown = output.isTty && prompt.isAvailable
  const showPhrase = (phrase: Uint8Array): void => {
    output.say('These 24 words recover the identity. Write them on paper; whoever has them can be this identity.\n')
    output.say(`${wordColumns(wordsOf(phrase))}\n`)
  }
  const facts = await withNewPassphrase(context, identity, options, (passphrase) =>
    identity.create(isShown ? { passphrase, showPhrase } : { passphrase }),
  )
  const isBackedUp = isShown && (await prompt.confirm('Have you written them down?'))
  if (isBackedUp) await identity.markBackedUp()
  answerFacts(context, { ...facts, isBackedUp }, 'identity created')
}

export async function showPhrase(context: CliContext, { options }: CommandInput): Promise<void> {
  const { output, prompt } = context
  if (options['yes'] !== true) {
    const isWanted = await prompt.confirm('Whoever sees the words can be this identity. Show them?', { default: false })
    if (!isWanted) return
  }
  await using offline = await context.offline({ isReadOnly: true })
  const { identity } = offline
  await withBytes(identity.phrase(), (phrase) => {
    const words = wordsOf(phrase)
    output.answer('nz.identity.phrase/1', { words }, () => (output.isTty ? wordColumns(words) : words.join(' ')))
  })
  const isAsked = output.isTty && prompt.isAvailable
  if (!isAsked || (await prompt.confirm('Have you written them down?'))) await identity.markBackedUp()
}

async function recover(context: CliContext, { options }: CommandInput): Promise<void> {
  await using offline = await context.offline()
  const { identity } = offline
  const facts = await withBytes(readPhrase(context), (phrase) =>
    withNewPassphrase(context, identity, options, (passphrase) => identity.recover(phrase, { passphrase })),
  )
  answerFacts(context, facts, 'identity recovered')
}

async function exportToFile(context: CliContext, { args, options }: CommandInput): Promise<void> {
  await using offline = await context.offline({ isReadOnly: true })
  const { identity } = offline
  const path = args['file'] ?? ''
  const facts = await withBytes(
    newPassphrase(context, identity, textOf(options['exportPassphraseFile']), 'Passphrase of the export'),
    (passphrase) => identity.exportTo(path, passphrase),
  )
  const { id, peerId } = facts.self
  context.output.answer('nz.identity.export/1', { file: path, id, peerId }, () =>
    [`✔ exported  ${shortId(id)} to ${path} (0600, encrypted)`, 'Next: nzcore identity import <file>, elsewhere'].join(
      '\n',
    ),
  )
}

async function importFromFile(context: CliContext, { args, options }: CommandInput): Promise<void> {
  await using offline = await context.offline()
  const { identity } = offline
  const file = textOf(options['exportPassphraseFile'])
  const given = file === null ? context.prompt.secret('Passphrase of the export:') : identity.passphraseFromFile(file)
  const facts = await withBytes(given, (exportPassphrase) =>
    withNewPassphrase(context, identity, options, (passphrase) =>
      identity.importFrom(args['file'] ?? '', exportPassphrase, { passphrase }),
    ),
  )
  answerFacts(context, facts, 'identity imported')
}

async function changePassphrase(context: CliContext, { options }: CommandInput): Promise<void> {
  const file = textOf(options['passphraseFile'])
  const isKeyFile = options['keyFile'] === true
  if (isKeyFile && file !== null)
    throw cliErrors.NZ_CLI_USAGE({ why: 'a key file needs no passphrase: give one of them' })
  await using offline = await context.offline()
  const { identity } = offline
  const facts = await identity.protect(async () => ({
    passphrase: isKeyFile ? null : await newPassphrase(context, identity, file, 'New passphrase'),
  }))
  answerFacts(context, facts, `identity protected by ${protectionText(facts.protection)}`)
}

type IdentityDocument = Awaited<ReturnType<Awaited<ReturnType<CliContext['client']>>['identityShow']>>

/** From the running node, else from the files of the profile. */
async function presentIdentity(context: CliContext): Promise<IdentityDocument> {
  try {
    const client = await context.client()
    return await client.identityShow({}, { signal: context.signal })
  } catch (error) {
    if (!isNzError(error, 'NZ_IPC_NOT_RUNNING')) throw error
  }
  await using offline = await context.offline({ isReadOnly: true })
  return documentOf(context, await offline.identity.presentFacts())
}

function documentOf({ home }: CliContext, { self, ...facts }: IdentityFacts): IdentityDocument {
  const hex = (key: Uint8Array): string => Buffer.from(key).toString('hex')
  return {
    profile: home.profile,
    id: self.id,
    peerId: self.peerId,
    fingerprint: [...self.fingerprint],
    nodePublicKey: hex(self.nodePublicKey),
    signingPublicKey: hex(self.signingPublicKey),
    boxPublicKey: hex(self.boxPublicKey),
    ...facts,
  }
}

function answerFacts(context: CliContext, facts: IdentityFacts, what: string): void {
  const document = documentOf(context, facts)
  context.output.answer('nz.identity/1', document, () =>
    [
      `✔ ${what}  ${shortId(document.id)}  (${context.home.stateDir}, 0600, encrypted)`,
      ...(document.isBackedUp ? [] : ['! recovery  not backed up → nzcore identity phrase']),
    ].join('\n'),
  )
}

function describe(document: IdentityDocument): string {
  return [
    `id           ${document.id}`,
    `fingerprint  ${document.fingerprint.join('-')}`,
    `peer id      ${document.peerId}`,
    `node key     ${document.nodePublicKey}`,
    `signing key  ${document.signingPublicKey}`,
    `box key      ${document.boxPublicKey}`,
    `protected    by ${protectionText(document.protection)}`,
    `backed up    ${document.isBackedUp ? 'yes' : 'no → nzcore identity phrase'}`,
  ].join('\n')
}

function protectionText(protection: IdentityFacts['protection']): string {
  return protection === 'passphrase' ? 'a passphrase' : 'a key file (0600), for unattended starts'
}

/** The passphrase that options or environment give for a new keystore, or none: then a key file protects it. */
export async function withNewPassphrase<T>(
  context: CliContext,
  identity: IdentityAdmin,
  options: CommandInput['options'],
  use: (passphrase: Uint8Array | null) => Promise<T>,
): Promise<T> {
  const file = textOf(options['passphraseFile'])
  const passphrase =
    file !== null || options['passphrase'] === true
      ? await newPassphrase(context, identity, file, 'New passphrase')
      : await identity.environmentPassphrase()
  try {
    return await use(passphrase)
  } finally {
    passphrase?.fill(0)
  }
}

/** From a file, else asked for twice. */
async function newPassphrase(
  { prompt }: CliContext,
  identity: IdentityAdmin,
  file: string | null,
  question: string,
): Promise<Uint8Array> {
  if (file !== null) return await identity.passphraseFromFile(file)
  const first = await prompt.secret(`${question}:`)
  const second = await prompt.secret(`${question}, again:`)
  const isSame = Buffer.compare(first, second) === 0
  second.fill(0)
  if (isSame) return first
  first.fill(0)
  throw cliErrors.NZ_CLI_USAGE({ why: 'the two passphrases differ' })
}

async function readPhrase(context: CliContext): Promise<Uint8Array> {
  const { prompt } = context
  if (prompt.isAvailable) return new TextEncoder().encode(await prompt.line('The 24 words:'))
  const phrase = new Uint8Array(MAX_PHRASE_BYTES + 1)
  let length = 0
  for await (const chunk of context.stdin) {
    const part = chunk.subarray(0, phrase.byteLength - length)
    phrase.set(part, length)
    length += part.byteLength
    chunk.fill(0)
    if (length === phrase.byteLength) break
  }
  return phrase.subarray(0, length)
}

/** Zeroes the bytes when `use` is done. */
export async function withBytes<T>(bytes: Promise<Uint8Array>, use: (bytes: Uint8Array) => T | Promise<T>): Promise<T> {
  const secret = await bytes
  try {
    return await use(secret)
  } finally {
    secret.fill(0)
  }
}

export function wordsOf(phrase: Uint8Array): readonly string[] {
  return new TextDecoder().decode(phrase).split(' ')
}

export function wordColumns(words: readonly string[]): string {
  const cells = words.map((word, at) => `${String(at + 1).padStart(2)} ${word.padEnd(9)}`)
  const lines: string[] = []
  for (let at = 0; at < cells.length; at += WORDS_PER_LINE) {
    lines.push(
      cells
        .slice(at, at + WORDS_PER_LINE)
        .join(' ')
        .trimEnd(),
    )
  }
  return lines.join('\n')
}

async function qrCode(id: string): Promise<string> {
  const { default: encodeQr } = await import('qr')
  // Upper case packs into fewer modules; bech32m reads it the same.
  return encodeQr(id.toUpperCase(), 'ascii', { border: 2 })
}

function textOf(option: string | boolean | undefined): string | null {
  return typeof option === 'string' ? option : null
}
