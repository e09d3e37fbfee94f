/** What others may know of `routing`: paths to peers through other nodes. */
export { routeErrors } from '../../protocols/routing/errors.ts'
