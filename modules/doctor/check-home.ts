/** The profile's files: who may read them, room for more, whether what they say is valid. */
import { lstat, readdir, readFile, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { filledSteps, isErrno, isNzError } from '../../kernel/index.ts'
import { fail, ok, warn } from './subject.ts'
import type { Check } from './subject.ts'
import type { Finding } from './service.ts'

/** A profile has fewer than ten. */
const MAX_STATE_FILES = 64
const GROUP_AND_OTHERS = 0o077
const LITTLE_SPACE_BYTES = 1_073_741_824
const TOO_LITTLE_SPACE_BYTES = 67_108_864

export const checkFolders: Check = async ({ home }) => [
  ...(await checkPrivate('home.state', home.stateDir, 'the state folder')),
  ...(await checkPrivate('home.key', home.keyFile, 'the key file')),
]

/** Only whether they can be read and are whole: what they mean is for the modules that keep them. */
export const checkState: Check = async ({ home }) => {
  const findings: Finding[] = []
  for (const name of await stateFilesOf(home.stateDir)) {
    const path = join(home.stateDir, name)
    try {
      JSON.parse(await readFile(path, 'utf8'))
    } catch (error) {
      const what = error instanceof SyntaxError ? `${name} is damaged` : `${name} cannot be read: ${String(error)}`
      findings.push(fail('home.files', `${what} (${path})`, `restore ${path} from a backup`))
    }
  }
  return findings.length === 0 ? [ok('home.files', 'the state files are whole')] : findings
}

export const checkSpace: Check = async ({ home }) => {
  const folder = await nearestExisting(home.stateDir)
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const what = `${(free / 1_073_741_824).toFixed(1)} GiB are free where the state is kept`
  if (free < TOO_LITTLE_SPACE_BYTES) return [fail('home.space', what, `free space on the disk of ${folder}`)]
  return [
    free < LITTLE_SPACE_BYTES
      ? warn('home.space', what, `free space on the disk of ${folder}`)
      : ok('home.space', what),
  ]
}

export const checkConfig: Check = async ({ home, readConfig }) => {
  try {
    await readConfig()
    return [ok('config', `the configuration is valid (${home.configFile})`)]
  } catch (error) {
    if (!isNzError(error)) throw error
    return [
      fail(
        'config',
        `${error.message}${error.why === null ? '' : `: ${error.why}`}`,
        ...filledSteps(error.fix, error.data),
      ),
    ]
  }
}

export const checkIdentity: Check = async ({ readIdentity }) => {
  let facts
  try {
    facts = await readIdentity()
  } catch (error) {
    if (!isNzError(error)) throw error
    return [fail('identity', `${error.message} (${error.code})`, ...filledSteps(error.fix, error.data))]
  }
  if (facts === null) return [ok('identity', 'no identity yet; nzcore up makes one')]
  const by = facts.protection === 'passphrase' ? 'a passphrase' : 'the key file'
  return [
    ok('identity', `${facts.self.id}, protected by ${by}`),
    facts.isBackedUp
      ? ok('identity.backup', 'the identity was backed up')
      : warn(
          'identity.backup',
          'the identity is not backed up: with this disk it would be lost',
          'nzcore identity export <file>',
        ),
  ]
}

async function checkPrivate(check: string, path: string, name: string): Promise<readonly Finding[]> {
  let found
  try {
    found = await lstat(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [ok(check, `${name} is not there yet (${path})`)]
    return [fail(check, `${name} cannot be looked at: ${String(error)}`, `check who may enter ${dirname(path)}`)]
  }
  if (process.getuid === undefined) return [ok(check, `${name} is ${path}`)]
  const mode = `0${(found.mode & 0o777).toString(8)}`
  if (found.uid !== process.getuid()) {
    return [fail(check, `${name} belongs to user ${found.uid}, not to you (${path})`, 'run nzcore as its owner')]
  }
  // A link's own mode says nothing; what it leads to is checked when it is opened.
  if (!found.isSymbolicLink() && (found.mode & GROUP_AND_OTHERS) !== 0) {
    return [fail(check, `${name} may be read by others, mode ${mode} (${path})`, `chmod go-rwx ${path}`)]
  }
  return [ok(check, `${name} is yours alone, mode ${mode} (${path})`)]
}

async function stateFilesOf(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith('.json')).slice(0, MAX_STATE_FILES)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
}

async function nearestExisting(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      await lstat(folder)
      return folder
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR') || folder === dirname(folder)) throw error
    }
  }
}
