/** The folders of one profile below a temporary home, and the administration of its identity at the lowest cost. */
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createIdentityAdmin } from '../../modules/identity/admin.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { Clock } from '../../kernel/index.ts'
import type { FileIdentityAdmin } from '../../modules/identity/admin.ts'
import type { Home } from '../../protocols/ipc/home.ts'

export interface FakeProfile extends AsyncDisposable {
  readonly root: string
  readonly home: Home
  /** `passphrase` opens; `null`: there is none. */
  admin(passphrase?: string | null): FileIdentityAdmin
}

export async function fakeProfile({
  profile = 'default',
  clock,
  root,
}: {
  profile?: string
  clock?: Clock
  root?: string
} = {}): Promise<FakeProfile> {
  const folder = root ?? (await mkdtemp(join(tmpdir(), 'nz-profile-')))
  const home = homeOf({ env: { NZ_HOME: folder }, profile })
  await mkdir(home.stateDir, { recursive: true, mode: 0o700 })
  return {
    root: folder,
    home,
    admin: (passphrase = null) =>
      createIdentityAdmin({
        home,
        passphrase: async () => (passphrase === null ? null : new TextEncoder().encode(passphrase)),
        scryptLogN: 14,
        ...(clock === undefined ? {} : { clock }),
      }),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true })
    },
  }
}
