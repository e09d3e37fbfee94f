/** Which stack TCP connections get, why, and what would make it faster. */
import { ok, warn } from './subject.ts'
import type { Check } from './subject.ts'

export const checkBackend: Check = async ({ readBackend }) => {
  const check = 'network.backend'
  const { asked, backend, code, reason } = await readBackend()
  const what = `TCP connections run on ${NAMES[backend]}${reason === null ? '' : `: ${reason}`}`
  if (asked === 'stock') return [warn(check, what, 'nzcore config set network.native auto')]
  switch (code) {
    case 'not-built':
      return [warn(check, what, 'install g++, then npm rebuild (in the folder of nzcore)', SETTLE)]
    case 'not-loadable':
      return [warn(check, what, 'npm rebuild (in the folder of nzcore)', SETTLE)]
    case 'refused-by-system':
      return [warn(check, what, 'allow epoll or io_uring in the seccomp profile of the container', SETTLE)]
    case 'off':
    case 'platform':
    case null:
      return [ok(check, what)]
  }
}

const NAMES = {
  io_uring: 'the native stack with io_uring',
  epoll: 'the native stack with epoll',
  typescript: 'the TypeScript stack',
  libp2p: 'stock libp2p',
} as const

/** Ends the question for who does not want the native stack. */
const SETTLE = 'nzcore config set network.native off'
