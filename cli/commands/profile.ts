/** `nzcore profile`: several identities of one user, each with its own state, log and daemon. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isNzError, makeFolder } from '../../kernel/index.ts'
import { homeOf, isProfileName, PROFILE_NAME_RULE } from '../../protocols/ipc/home.ts'
import { profileNames } from '../completion.ts'
import { environmentOf, profileFileOf, usedProfile } from '../context.ts'
import { cliErrors } from '../errors.ts'
import { shortId, table } from '../text.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

export const profilePresenters: Presenters = {}

const name = { name: 'name', summary: 'letters, digits, - and _; at most 32; not run', isRequired: true } as const

export const profileCommands: readonly CommandSpec[] = [
  { words: ['profile', 'list'], summary: 'List the profiles of this user', schemaNames: ['nz.profiles/1'], run: list },
  {
    words: ['profile', 'show'],
    summary: 'Show the profile in use and where its files are',
    schemaNames: ['nz.profile/1'],
    async run({ home, output }) {
      output.answer('nz.profile/1', home, () =>
        [
          `profile ${home.profile}`,
          `config  ${home.configFile}`,
          `state   ${home.stateDir}`,
          `key     ${home.keyFile}`,
          `log     ${home.logDir}`,
          `socket  ${home.socketPath}`,
        ].join('\n'),
      )
    },
  },
  {
    words: ['profile', 'create'],
    summary: 'Create a profile with an identity of its own',
    args: [name],
    schemaNames: ['nz.profile-created/1'],
    run: create,
  },
  {
    words: ['profile', 'use'],
    summary: 'Use a profile from now on, unless NZ_PROFILE or --profile names another',
    args: [{ ...name, completes: 'profile' }],
    schemaNames: ['nz.profile-used/1'],
    run: use,
  },
]

async function list(context: CliContext): Promise<void> {
  const names = [...new Set([...profileNames(context), context.home.profile])].sort()
  const used = usedProfile(context.env)
  const profiles = names.map((each) => ({
    name: each,
    isUsed: each === used,
    isCurrent: each === context.home.profile,
  }))
  context.output.answer('nz.profiles/1', { profiles }, () =>
    table(
      ['NAME', 'IN USE'],
      profiles.map(({ name: each, isUsed }) => [each, isUsed ? 'yes' : '']),
    ),
  )
}

async function create(context: CliContext, { args }: CommandInput): Promise<void> {
  const profile = profileArgument(args['name'])
  const env = environmentOf(context.env, { json: false, profile })
  const { openOffline } = await import('../offline.ts')
  await using opened = await openOffline({ ...context, env, home: homeOf({ env }) }, {})
  const { self, protection } = await opened.identity.create({ passphrase: null })
  context.output.answer('nz.profile-created/1', { profile, id: self.id, peerId: self.peerId, protection }, () =>
    [`✔ profile ${profile} created  ${shortId(self.id)}`, `Next: nzcore --profile ${profile} up`].join('\n'),
  )
}

async function use(context: CliContext, { args }: CommandInput): Promise<void> {
  const profile = profileArgument(args['name'])
  if (profile !== 'default' && !profileNames(context).includes(profile)) {
    throw cliErrors.NZ_CLI_PROFILE_UNKNOWN({ data: { profile, known: profileNames(context) } })
  }
  const file = profileFileOf(context.env)
  const aside = `${file}.${process.pid}.tmp`
  try {
    await makeFolder(dirname(file))
    await writeFile(aside, `${profile}\n`, { mode: 0o600 })
    await rename(aside, file)
  } catch (error) {
    await rm(aside, { force: true })
    throw isNzError(error) ? error : cliErrors.NZ_CLI_UNEXPECTED({ why: `${file} cannot be written`, cause: error })
  }
  context.output.answer('nz.profile-used/1', { profile }, () => `✔ profile ${profile} is used from now on`)
}

/** @throws NZ_CLI_USAGE */
function profileArgument(typed = ''): string {
  if (isProfileName(typed)) return typed
  throw cliErrors.NZ_CLI_USAGE({
    why: `a profile name is made of ${PROFILE_NAME_RULE}`,
  })
}
