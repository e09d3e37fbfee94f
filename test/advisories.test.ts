/**
 * Known advisories of packages we install, and the first version that is free of each. `npm audit` needs a registry
 * that answers it; this table needs none. Add a row when an advisory of a package in the lock file becomes known.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'

interface Floor {
  readonly name: string
  /** The first good version; every copy in the lock file must be this one or a later one. */
  readonly atLeast: string
  readonly advisory: string
  readonly source: string
}

const ghsa = (id: string): string => `https://github.com/advisories/${id}`

const floors: readonly Floor[] = [
  {
    name: 'libp2p',
    atLeast: '0.38.0',
    advisory: 'CVE-2022-23487: unbounded connections, streams and memory',
    source: ghsa('GHSA-f44q-634c-jvwv'),
  },
  {
    name: '@libp2p/gossipsub',
    atLeast: '16.0.5',
    advisory: 'GHSA-c3gv-825q-fvmp; also CVE-2026-46679, a flood of subscriptions (15.0.23)',
    source: ghsa('GHSA-c3gv-825q-fvmp'),
  },
  {
    name: 'ws',
    atLeast: '8.21.0',
    advisory: 'CVE-2026-48779: memory exhausted by tiny fragments; also CVE-2026-45736, CVE-2024-37890 (8.17.1)',
    source: ghsa('GHSA-96hv-2xvq-fx4p'),
  },
  {
    name: 'jose',
    atLeast: '4.15.5',
    advisory: 'CVE-2024-28176: decompression bomb; also CVE-2022-36083, costly PBES2 counts (4.9.2)',
    source: ghsa('GHSA-hhhv-q57g-882q'),
  },
  {
    name: 'smol-toml',
    atLeast: '1.7.1',
    advisory: 'CVE-2026-85730: endless loop on malformed TOML; also GHSA-v3rj-xjv7-4jmq (1.6.1)',
    source: ghsa('GHSA-7w5x-hrqm-74c2'),
  },
  {
    name: 'netmask',
    atLeast: '2.0.1',
    advisory: 'CVE-2021-28918, CVE-2021-29418: octal octets of an address read as decimal',
    source: ghsa('GHSA-4c7m-wxvm-r7gc'),
  },
]

/** Whether `version` is `floor` or later; a pre-release of the floor is earlier. */
function isAtLeast(version: string, floor: string): boolean {
  const [core = '', preRelease] = version.split('-')
  const have = core.split('.').map(Number)
  const want = floor.split('.').map(Number)
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? Number.NaN) - (want[i] ?? 0)
    if (Number.isNaN(difference)) return false
    if (difference !== 0) return difference > 0
  }
  return preRelease === undefined
}

describe('the lock file', () => {
  const lock = JSON.parse(readFileSync(join(resolve(import.meta.dirname, '..'), 'package-lock.json'), 'utf8'))
  const installed = Object.entries<{ version?: string }>(lock.packages)
    .filter(([path]) => path.includes('node_modules/'))
    .map(([path, { version }]) => ({
      name: path.slice(path.lastIndexOf('node_modules/') + 13),
      version: version ?? '',
    }))

  it('was read', () => assert.ok(installed.some(({ name }) => name === 'libp2p') && installed.length > 50))

  for (const { name, atLeast, advisory, source } of floors) {
    it(`holds no ${name} before ${atLeast}`, () => {
      for (const { version } of installed.filter((found) => found.name === name)) {
        assert.ok(isAtLeast(version, atLeast), `${name} ${version}: ${advisory} (${source})`)
      }
    })
  }

  it('is compared by number, not by text', () => {
    assert.ok(isAtLeast('8.21.0', '8.21.0') && isAtLeast('8.100.0', '8.21.0') && isAtLeast('10.0.0', '8.21.0'))
    for (const version of ['8.20.9', '8.3.0', '8.21.0-rc.1', '', 'latest']) assert.ok(!isAtLeast(version, '8.21.0'))
  })
})
