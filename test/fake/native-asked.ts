/** Which stack a run of the tests is for: NZ_NATIVE, as for a node (`npm run test:typescript`, `npm run test:epoll`). */
import type { NativeChoice } from '../../modules/network/muxer/backend.ts'

/** @throws TypeError for anything that is not 0, 1 or epoll */
export function nativeAsked(): Exclude<NativeChoice, 'stock'> {
  switch (process.env['NZ_NATIVE'] ?? '') {
    case '':
    case '1':
      return 'auto'
    case '0':
      return 'off'
    case 'epoll':
      return 'epoll'
    default:
      throw new TypeError(`tests run with NZ_NATIVE=0, 1 or epoll, not ${process.env['NZ_NATIVE'] ?? ''}`)
  }
}

/** NZ_NATIVE for processes that are given an environment of their own. */
export function nativeVariable(): Readonly<Record<string, string>> {
  const value = process.env['NZ_NATIVE']
  return value === undefined ? {} : { NZ_NATIVE: value }
}
