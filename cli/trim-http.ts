/**
 * Keeps `fetch` out of a process that does not use it. An `import` of node:http reads every export of it, and these
 * three load the whole of undici: 20 ms and 10 MB for a command, 50 ms and 2 MB for a daemon.
 */
const LOAD_UNDICI: readonly string[] = ['WebSocket', 'CloseEvent', 'MessageEvent']

/** Only for processes that are all ours, before anything imports node:http; the globals of these names stay. */
export function trimHttp(): void {
  const http = process.getBuiltinModule('node:http')
  for (const name of LOAD_UNDICI) Reflect.deleteProperty(http, name)
}
