#!/usr/bin/env node
/*
 * Starts nzcore. Plain JavaScript that old versions of Node parse as well: under one of those it runs itself again
 * under the Node that was installed beside nzcore, or says what is needed.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as nodeModule from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NEEDED_MAJOR = 22
const NEEDED_MINOR = 18

const [major, minor] = process.versions.node.split('.').map(Number)
if (major > NEEDED_MAJOR || (major === NEEDED_MAJOR && minor >= NEEDED_MINOR)) await start()
else runUnderBundledNode()

async function start() {
  const program = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'cli', 'main.js')
  if (!existsSync(program)) {
    process.stderr.write('nzcore is not built yet\n  do:  npm run build\n')
    process.exit(1)
  }
  const cache =
    process.env.NZ_HOME !== undefined
      ? join(process.env.NZ_HOME, 'cache')
      : join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'nzcore')
  // Only speeds up the start; a folder that cannot be written is reported in the result, not thrown.
  const compiled = join(cache, 'compiled')
  if (process.env.NODE_COMPILE_CACHE === undefined && hasFolder(compiled)) nodeModule.enableCompileCache(compiled)
  const { run } = await import('../dist/cli/main.js')
  await run()
}

/** Whether the folder is there now. Node itself makes it by a recursion that never ends below /proc. */
function hasFolder(path) {
  if (existsSync(path)) return true
  const above = dirname(path)
  if (above === path || !hasFolder(above)) return false
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch {
    // Also when another process was first.
  }
  return existsSync(path)
}

function runUnderBundledNode() {
  const node = bundledNode()
  if (node === null) {
    process.stderr.write(
      `nzcore needs Node.js ${NEEDED_MAJOR}.${NEEDED_MINOR} or newer; this is ${process.versions.node} (NZ_CLI_NODE_TOO_OLD)\n` +
        '  why: no newer Node.js is installed beside nzcore\n' +
        '  do:  install Node.js 24 from https://nodejs.org, or npm install with optional dependencies\n',
    )
    process.exit(12)
  }
  const child = spawn(node, process.argv.slice(1), { stdio: inheritedStreams() })
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    // A terminal sends Ctrl-C to both processes by itself.
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(`nzcore cannot start ${node}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code === null ? 1 : code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

/** The standard streams, and the descriptor that a passphrase is read from. */
function inheritedStreams() {
  const streams = ['inherit', 'inherit', 'inherit']
  const passphrase = Number(process.env.NZ_PASSPHRASE_FD)
  if (!(passphrase > 2 && passphrase < 1024)) return streams
  while (streams.length < passphrase) streams.push('ignore')
  return [...streams, passphrase]
}

function bundledNode() {
  try {
    const entry = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`)
    const node = join(dirname(entry), 'bin', 'node')
    return existsSync(node) ? node : null
  } catch {
    return null
  }
}
