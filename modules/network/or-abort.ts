/** For this module's files: see kernel/or-abort.ts. */
export { orAbort } from '../../kernel/index.ts'
