/** Machines for transcripts: a folder and a home each, on this machine, with real processes of nzcore. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Step } from './transcript.ts'

const root = resolve(import.meta.dirname, '../..')
const launcher = join(root, 'cli', 'nzcore.js')
const COMMAND_TIMEOUT_MS = 60_000

export interface Machines extends AsyncDisposable {
  /** What the command printed, standard error after standard output. @throws Error when it exits otherwise */
  run(step: Step): Promise<string>
}

export async function createMachines(): Promise<Machines> {
  const base = await mkdtemp(join(tmpdir(), 'nzd-'))
  const bin = join(base, 'bin')
  await mkdir(bin)
  await writeFile(join(bin, 'nzcore'), `#!/bin/sh\nexec "${process.execPath}" "${launcher}" "$@"\n`, { mode: 0o755 })
  const machines = new Set<string>()
  const background: Array<Promise<unknown>> = []
  /** The last ticket and the last id that a command printed: transcripts show others. */
  const seen = new Map<string, string>()

  const homeOf = (machine: string): string => join(base, machine === '' ? 'reader' : machine)

  async function folderOf(machine: string): Promise<string> {
    const folder = homeOf(machine)
    if (machines.has(machine)) return folder
    machines.add(machine)
    await mkdir(folder, { mode: 0o700 })
    await copyFile(join(root, 'LICENSE'), join(folder, 'notes.txt'))
    return folder
  }

  function start(command: string, folder: string) {
    const env = {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      HOME: folder,
      // Several machines on one: each takes free ports, and talks to itself alone.
      NZ_NETWORK_LISTEN: '["/ip4/127.0.0.1/tcp/0","/ip4/127.0.0.1/tcp/0/ws"]',
      LANG: 'C.UTF-8',
    }
    return spawn('sh', ['-c', command], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  return {
    async run({ machine, command, exit, where }) {
      const folder = await folderOf(machine)
      let line = command.replace(/^npm start$/, 'nzcore up').replaceAll(/\bnpx nzcore\b/g, 'nzcore')
      for (const [kind, value] of seen) line = line.replaceAll(new RegExp(`\\b${kind}[\\w…]*`, 'g'), value)
      const isBackground = line.endsWith('&')
      const child = start(line.replace(/\s*&$/, ''), folder)
      const out: string[] = []
      const err: string[] = []
      child.stdout.setEncoding('utf8').on('data', (text: string) => void out.push(text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => void err.push(text))
      const closed = once(child, 'close')
      if (isBackground) {
        background.push(closed)
        return ''
      }
      const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_TIMEOUT_MS)
      const [code] = await closed
      clearTimeout(timer)
      const printed = [...out, ...err].join('')
      for (const kind of ['nzi1']) {
        const value = new RegExp(`\\b${kind}[a-z0-9]{20,}`).exec(printed)?.[0]
        if (value !== undefined) seen.set(kind, value)
      }
      if (code !== exit) throw new Error(`${where}: exit ${String(code)} in place of ${exit}\n$ ${line}\n${printed}`)
      return printed
    },
    async [Symbol.asyncDispose]() {
      for (const machine of machines) {
        const child = start('nzcore down', homeOf(machine))
        await once(child, 'close')
      }
      await Promise.race([Promise.all(background), new Promise((done) => setTimeout(done, 5_000).unref())])
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** Every Markdown file whose transcripts are run. */
export async function documentedFiles(): Promise<ReadonlyArray<{ file: string; markdown: string }>> {
  const docs = (await readdir(join(root, 'docs'), { recursive: true })).filter((name) => name.endsWith('.md'))
  const files = ['README.md', 'CHANGELOG.md', 'SECURITY.md', ...docs.map((name) => `docs/${name}`)]
  return await Promise.all(files.map(async (file) => ({ file, markdown: await readFile(join(root, file), 'utf8') })))
}
