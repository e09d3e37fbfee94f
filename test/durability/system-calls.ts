/** The file operations of a process as strace writes them down: calls with their arguments, data in full, in order. */
import { spawnSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

/** A `?` lets strace pass over a call that this kind of machine does not have. */
const CALLS =
  '?open,?creat,?rename,?unlink,?link,?symlink,?mkdir,?rmdir,?dup2,openat,renameat,renameat2,unlinkat,linkat,symlinkat,' +
  'mkdirat,close,dup,dup3,fcntl,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fsync,fdatasync,' +
  'sync_file_range,fallocate,copy_file_range,sendfile,mmap'

/** What to put before a command so that its file operations are written to `file`. */
export function recording(file: string): readonly string[] {
  return [
    'strace',
    // The command keeps the process that was started: a signal reaches it, not strace.
    '-D',
    '-f',
    '--seccomp-bpf',
    '-q',
    '-xx',
    '-s',
    '33554432',
    '-e',
    'signal=none',
    '-e',
    `trace=${CALLS}`,
    '-o',
    file,
  ]
}

/** Test options: skips with one clear line where no process can be traced. */
export function needsTracing(): { readonly skip: false | string } {
  if (process.platform !== 'linux') return { skip: 'system calls are recorded on Linux alone' }
  const tried = spawnSync('strace', ['-f', '--seccomp-bpf', '-q', '-o', '/dev/null', '-e', 'trace=fsync', 'true'], {
    encoding: 'utf8',
  })
  if (tried.status === 0) return { skip: false }
  const why = tried.error?.message ?? (tried.stderr.trim() || `exit ${tried.status}`)
  return { skip: `strace does not work here (Debian: apt-get install strace): ${why}` }
}

export interface SystemCall {
  readonly name: string
  readonly args: readonly string[]
  /** `null` when the process was killed meanwhile. */
  readonly result: number | null
}

/** A call begins; when it has ended `isEnd` is set. What happens between both happens at an unknown point between them. */
export interface CallEvent {
  readonly call: SystemCall
  readonly isEnd: boolean
}

/** Begin and end of the calls that concern files, in the order in which strace saw them. */
export async function readCalls(file: string): Promise<readonly CallEvent[]> {
  const events: { call: SystemCall; isEnd: boolean }[] = []
  const open = new Map<string, { readonly text: string; readonly at: number }>()
  const lines = createInterface({ input: createReadStream(file, { encoding: 'latin1', highWaterMark: 1_048_576 }) })
  for await (const line of lines) {
    const space = line.indexOf(' ')
    const pid = line.slice(0, space)
    const text = line.slice(space).trimStart()
    if (text.startsWith('+++') || text.startsWith('---')) continue
    if (text.endsWith('<unfinished ...>')) {
      const begun = text.slice(0, -'<unfinished ...>'.length).trimEnd()
      open.set(pid, { text: begun, at: events.length })
      // Filled in when it is resumed; a process that is killed leaves it so.
      events.push({ call: parse(`${begun}) = ?`), isEnd: false })
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(text)
    if (resumed !== null) {
      const begun = open.get(pid)
      if (begun === undefined) throw new Error(`nothing to resume: ${line.slice(0, 200)}`)
      open.delete(pid)
      const call = parse(`${begun.text}${text.slice(resumed[0].length)}`)
      const first = events[begun.at]
      if (first !== undefined) first.call = call
      events.push({ call, isEnd: true })
      continue
    }
    if (!/\)\s+= /.test(text)) {
      // The process was killed while strace wrote.
      events.push({ call: parse(closed(text)), isEnd: false })
      continue
    }
    const call = parse(text)
    events.push({ call, isEnd: false }, { call, isEnd: true })
  }
  return events.filter(({ call }) => isOfInterest(call))
}

/** A 1 of eight bytes, for an eventfd. */
const WAKING = '"\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00"'

/** Not what wakes threads and takes memory: cuts are to fall between operations on files. */
function isOfInterest({ name, args, result }: SystemCall): boolean {
  if (name === 'mmap') return args[4] !== '-1'
  if (name === 'write') return args[1] !== WAKING
  return !name.startsWith('open') || result === null || result >= 0
}

/** A call of which only the beginning was written. */
function closed(text: string): string {
  const begun = text.replace(/\s*<[^>]*>$/, '').replace(/,?\s*$/, '')
  const isInString = (begun.split('"').length - 1) % 2 === 1
  const whole = isInString ? `${begun.replace(/\\x?[0-9a-f]?$/, '')}"` : begun
  return `${whole.endsWith(')') ? whole : `${whole})`} = ?`
}

function parse(text: string): SystemCall {
  const open = text.indexOf('(')
  const equals = text.lastIndexOf(' = ')
  const close = text.lastIndexOf(')', equals)
  if (open < 0 || equals < 0 || close < open) throw new Error(`not a system call: ${text.slice(0, 200)}`)
  const result = Number.parseInt(text.slice(equals + 3), text.startsWith('mmap') ? 16 : 10)
  return {
    name: text.slice(0, open),
    args: argumentsOf(text.slice(open + 1, close).replace(/,$/, '')),
    result: Number.isNaN(result) ? null : result,
  }
}

function argumentsOf(text: string): readonly string[] {
  const args: string[] = []
  let depth = 0
  let from = 0
  // Strings are in hexadecimal, so that no letter of theirs is taken for a comma or a bracket.
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]
    if (letter === '[' || letter === '{') depth += 1
    else if (letter === ']' || letter === '}') depth -= 1
    else if (letter === ',' && depth === 0) {
      args.push(text.slice(from, at).trim())
      from = at + 1
    } else if (letter === '"') at = text.indexOf('"', at + 1)
  }
  args.push(text.slice(from).trim())
  return args
}

/** The bytes of a string argument, or of all the strings of a list of buffers. */
export function bytesOf(argument: string): Buffer {
  const parts = [...argument.matchAll(/"([^"]*)"(\.\.\.)?/g)].map(([, hex = '', cut]) => {
    if (cut !== undefined) throw new Error('strace has cut data short')
    return Buffer.from(hex.replaceAll('\\x', ''), 'hex')
  })
  return parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts)
}

export function textOf(argument: string): string {
  return bytesOf(argument).toString('utf8')
}
