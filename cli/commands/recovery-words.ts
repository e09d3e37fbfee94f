/** The 24 words as backups need them: given, checked, split among people and put together again. */
import { readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { isNzError, makeFolder } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { openLocalTarget } from '../local-file.ts'
import { shortId } from '../text.ts'
import { showPhrase, withBytes, wordColumns, wordsOf } from './identity.ts'
import type { CliContext, CommandInput, CommandSpec, Option } from '../command.ts'

export const SHARES: Option = {
  flags: '--share-file <file>',
  summary: 'read a share of the recovery words from a file; give it once for each share',
  isRepeatable: true,
}
/** A file of one share, or one typed. */
const MAX_SHARE_BYTES = 1_024
/** The most shares of one set. */
const MAX_SHARES = 255

export const recoveryWordsCommands: readonly CommandSpec[] = [
  {
    words: ['backup', 'phrase'],
    summary: 'Check the 24 words on paper against this identity, without showing them',
    options: [{ flags: '--show', summary: 'show them instead, on a terminal, after a question' }],
    schemaNames: ['nz.backupPhrase/1', 'nz.identity.phrase/1'],
    run: phrase,
  },
  {
    words: ['backup', 'split'],
    summary: 'Split the 24 words into shares for people you trust',
    options: [
      { flags: '--shares <n>', summary: 'how many shares to make', default: '5' },
      { flags: '--threshold <k>', summary: 'how many of them give the words back', default: '3' },
      { flags: '--to <folder>', summary: 'write each share to a file of its own there (0600) instead of showing it' },
      { flags: '--yes', summary: 'show them without asking' },
    ],
    schemaNames: ['nz.backupShares/1'],
    run: splitWords,
  },
  {
    words: ['backup', 'combine'],
    summary: 'Get the 24 words back from shares',
    options: [SHARES, { flags: '--yes', summary: 'show the words without asking' }],
    schemaNames: ['nz.identity.phrase/1'],
    run: combine,
  },
]

/** Whether environment or options say where the words come from. */
export function areWordsGiven({ env }: CliContext, lists: CommandInput['lists']): boolean {
  const isNamed = env['NZ_WORDS_FILE'] !== undefined || env['NZ_WORDS_FD'] !== undefined
  return isNamed || (lists['shareFile'] ?? []).length > 0
}

/**
 * From shares, from `NZ_WORDS_FILE` or `NZ_WORDS_FD`, else asked for. The caller zeroes them.
 *
 * @throws NZ_BACKUP_WORDS_MISSING
 */
export async function givenWords(context: CliContext, lists: CommandInput['lists']): Promise<Uint8Array> {
  const { env, prompt } = context
  const { passphraseOf, wordsMissing } = await import('../node.ts')
  const files = lists['shareFile'] ?? []
  if (files.length > 0) return await combined(await Promise.all(files.map(shareIn)))
  const names = { NZ_PASSPHRASE_FILE: env['NZ_WORDS_FILE'], NZ_PASSPHRASE_FD: env['NZ_WORDS_FD'] }
  const ask = async (): Promise<Uint8Array> => new TextEncoder().encode(await prompt.line('The 24 words:'))
  try {
    const words = await passphraseOf({ env: names, ...(prompt.isAvailable ? { ask } : {}) })()
    if (words !== null) return words
  } catch (error) {
    if (!isNzError(error, 'NZ_IDENTITY_PASSPHRASE_UNREADABLE')) throw error
    throw wordsMissing(`NZ_WORDS_FILE or NZ_WORDS_FD: ${error.why ?? 'reading failed'}`, error)
  }
  throw wordsMissing('there is no terminal, and neither NZ_WORDS_FILE nor NZ_WORDS_FD is set')
}

/** The words of this profile's identity, as its keystore has them. The caller zeroes them. */
export async function ownWords(context: CliContext): Promise<Uint8Array> {
  await using offline = await context.offline({ isReadOnly: true })
  return await offline.identity.phrase()
}

async function phrase(context: CliContext, input: CommandInput): Promise<void> {
  const { prompt, output } = context
  if (input.options['show'] === true) {
    if (!prompt.isAvailable || !output.isTty)
      throw cliErrors.NZ_CLI_NO_TTY({ why: 'words are shown on a terminal only' })
    return await showPhrase(context, { ...input, options: {} })
  }
  const { identityOfWords, otherWords } = await import('../node.ts')
  await using offline = await context.offline({ isReadOnly: true })
  const { self } = await offline.identity.presentFacts()
  const typed = await withBytes(givenWords(context, input.lists), async (words) => {
    using identity = await identityOfWords(words)
    return identity.self
  })
  if (typed.peerId !== self.peerId) throw otherWords({ words: typed.id, identity: self.id })
  await offline.identity.markBackedUp()
  output.answer('nz.backupPhrase/1', { id: self.id, peerId: self.peerId, isRight: true }, () =>
    [
      `✔ these are the words of ${shortId(self.id)}: they open every backup of it`,
      'Next: nzcore backup verify --words',
    ].join('\n'),
  )
}

async function splitWords(context: CliContext, { options }: CommandInput): Promise<void> {
  const { output, prompt } = context
  const count = numberOf(options['shares'], '--shares')
  const threshold = numberOf(options['threshold'], '--threshold')
  if (threshold > count) throw cliErrors.NZ_CLI_USAGE({ why: '--threshold is at most --shares' })
  const folder = typeof options['to'] === 'string' ? resolve(options['to']) : null
  if (folder === null && options['yes'] !== true) {
    const question = `${threshold} of the ${count} shares are as good as the words. Show them?`
    if (!(await prompt.confirm(question, { default: false }))) return
  }
  const { identityOfWords, entropyOf, wordShares } = await import('../node.ts')
  const shares = await withBytes(ownWords(context), async (words) => {
    using identity = await identityOfWords(words)
    const entropy = entropyOf(words)
    try {
      const { nodePublicKey } = identity.self
      return await (await wordShares()).splitWords({ entropy, nodePublicKey, count, threshold })
    } finally {
      entropy.fill(0)
    }
  })
  const files = folder === null ? [] : await writeShares(folder, shares)
  const document = { count, threshold, shares: folder === null ? [...shares] : [], files: [...files] }
  output.answer('nz.backupShares/1', document, () =>
    [
      ...(folder === null ? shares.map((share, at) => `share ${at + 1} of ${count}\n${share}\n`) : files),
      `any ${threshold} of them give the words back: nzcore backup combine`,
    ].join('\n'),
  )
}

async function combine(context: CliContext, { options, lists }: CommandInput): Promise<void> {
  const { output, prompt } = context
  if (options['yes'] !== true) {
    const isWanted = await prompt.confirm('Whoever sees the words can be this identity. Show them?', { default: false })
    if (!isWanted) return
  }
  const files = lists['shareFile'] ?? []
  const shares = files.length > 0 ? await Promise.all(files.map(shareIn)) : await typedShares(context)
  await withBytes(combined(shares), (words) => {
    const list = wordsOf(words)
    output.answer('nz.identity.phrase/1', { words: list }, () => (output.isTty ? wordColumns(list) : list.join(' ')))
  })
}

/** The words that the shares give. The caller zeroes them. */
async function combined(shares: readonly string[]): Promise<Uint8Array> {
  const { identityOfWords, phraseOf, wordShares } = await import('../node.ts')
  const { combineShares } = await wordShares()
  const entropy = await combineShares(shares, async (secret) => {
    return await withBytes(Promise.resolve(phraseOf(secret)), async (words) => {
      using identity = await identityOfWords(words)
      return identity.self.nodePublicKey
    })
  })
  try {
    return phraseOf(entropy)
  } finally {
    entropy.fill(0)
  }
}

/** One share a line, until an empty one. */
async function typedShares({ prompt }: CliContext): Promise<readonly string[]> {
  const shares: string[] = []
  while (shares.length < MAX_SHARES) {
    const share = await prompt.line(`Share ${shares.length + 1} (empty: no more):`)
    if (share === '') break
    shares.push(share)
  }
  return shares
}

async function shareIn(path: string): Promise<string> {
  try {
    const bytes = await readFile(path)
    return bytes.subarray(0, MAX_SHARE_BYTES).toString('latin1')
  } catch (error) {
    throw cliErrors.NZ_CLI_USAGE({ why: `the share ${path} cannot be read`, cause: error })
  }
}

/** All of them, or none. @throws NZ_CLI_FILE_EXISTS, NZ_CLI_FILE_UNWRITABLE */
async function writeShares(folder: string, shares: readonly string[]): Promise<readonly string[]> {
  const paths = shares.map((_, at) => join(folder, `share-${at + 1}-of-${shares.length}.txt`))
  try {
    await makeFolder(folder)
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : 'it cannot be made'
    throw cliErrors.NZ_CLI_FILE_UNWRITABLE({ cause, why, data: { path: paths[0] ?? folder } })
  }
  const written: string[] = []
  try {
    for (const [at, path] of paths.entries()) {
      const target = await openLocalTarget(path, { replaces: false })
      try {
        await target.write(Buffer.from(`${shares[at] ?? ''}\n`))
        await target.publish()
        written.push(path)
      } finally {
        await target.discard()
      }
    }
    return paths
  } catch (error) {
    // A part of a set is of no use, and would be taken for one.
    for (const path of written) await rm(path, { force: true })
    throw error
  }
}

function numberOf(option: string | boolean | undefined, flag: string): number {
  const value = Number(option)
  if (Number.isInteger(value) && value >= 2 && value <= MAX_SHARES) return value
  throw cliErrors.NZ_CLI_USAGE({ why: `${flag} takes a whole number from 2 to ${MAX_SHARES}` })
}
