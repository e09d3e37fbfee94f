/**
 * Builds the addons that the published package carries: prebuilds/<platform>-<architecture>/nzcore.node, for each
 * processor that a compiler is there for. What cannot be built is said, and is an error only when nothing was.
 * `--into FOLDER` puts them elsewhere.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const [flag, into] = process.argv.slice(2)
const prebuilds = flag === '--into' && into !== undefined ? resolve(into) : join(dirname(folder), 'prebuilds')
let built = 0

for (const architecture of ['x64', 'arm64']) {
  const out = join(prebuilds, `linux-${architecture}`, 'nzcore.node')
  const words = [join(folder, 'build.mjs'), '--out', out, '--arch', architecture]
  const { stdout } = spawnSync(process.execPath, words, { encoding: 'utf8' })
  process.stdout.write(`linux-${architecture}: ${stdout.trim()}\n`)
  if (existsSync(out)) built += 1
}
process.exitCode = built === 0 ? 1 : 0
