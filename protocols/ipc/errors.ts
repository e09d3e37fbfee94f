/** Error codes of the local API itself: what any endpoint may answer, and what a client meets on the way. */
import { defineErrors } from '../../kernel/index.ts'
import type { ErrorSpec } from '../../kernel/index.ts'

/** A request that no repetition makes right. */
function refused(status: number, message: string, ...fix: string[]): ErrorSpec {
  return { message, fix, status, exit: 'usage', retryable: false }
}

export const ipcErrors = defineErrors({
  NZ_INTERNAL: {
    message: 'something unexpected went wrong inside the node',
    fix: ['nzcore logs', 'nzcore doctor'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
  NZ_IPC_REQUEST_MALFORMED: refused(400, 'the request is not well-formed HTTP', 'use the SDK or spec/openapi.json'),
  NZ_IPC_JSON_INVALID: refused(400, 'the request body is not a JSON object in UTF-8', 'send one JSON object'),
  NZ_IPC_PARAMS_INVALID: refused(
    400,
    'parameters are missing, unknown or out of range',
    'correct what data.issues names',
    'nzcore help',
  ),
  NZ_IPC_ENDPOINT_UNKNOWN: refused(404, 'there is no such endpoint', 'nzcore version', 'see spec/openapi.json'),
  NZ_IPC_METHOD_WRONG: refused(405, 'the endpoint exists, but not with this method', 'see spec/openapi.json'),
  NZ_IPC_MEDIA_TYPE_WRONG: refused(415, 'the request body must be application/json', 'set content-type'),
  NZ_IPC_BODY_TOO_LARGE: refused(413, 'the request body is too large', 'send bytes through a duplex endpoint'),
  NZ_IPC_HEADERS_TOO_LARGE: refused(431, 'the request line and headers are too large', 'send params in the body'),
  NZ_IPC_UPGRADE_REQUIRED: refused(426, 'the endpoint needs an upgrade to nzcore frames', 'use the SDK'),
  NZ_IPC_UPGRADE_REFUSED: refused(400, 'the endpoint does not take an upgrade', 'send a plain request'),
  NZ_IPC_FRAME_INVALID: refused(400, 'a frame of the duplex is not valid', 'use the SDK of this version'),
  NZ_IPC_HOST_REFUSED: {
    message: 'the Host header names a machine this API does not answer for',
    fix: ['use localhost', 'nzcore config set ipc.tcp.allowedHosts <names>'],
    status: 421,
    exit: 'permission',
    retryable: false,
  },
  NZ_IPC_ORIGIN_REFUSED: {
    message: 'requests from web pages are refused',
    fix: ['call the API from a program, not from a browser'],
    status: 403,
    exit: 'permission',
    retryable: false,
  },
  NZ_IPC_TOKEN_REFUSED: {
    message: 'the access token is missing, wrong, expired or revoked',
    fix: ['nzcore token create <name> --capabilities <list>'],
    status: 401,
    exit: 'permission',
    retryable: false,
  },
  NZ_IPC_LOGIN_LIMITED: {
    message: 'too many wrong tokens came from this address',
    fix: ['wait data.retryAfterMs, then use a valid token: nzcore token list'],
    status: 429,
    exit: 'permission',
    retryable: true,
  },
  NZ_IPC_CAPABILITY_MISSING: {
    message: 'the access token does not grant this call',
    fix: ['nzcore token create <name> --capabilities <the one in data.capability>'],
    status: 403,
    exit: 'permission',
    retryable: false,
  },
  NZ_IPC_TOO_MANY_STREAMS: {
    message: 'this caller has too many streams open',
    fix: ['close streams that are no longer read'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_IPC_TOO_MANY_CONNECTIONS: {
    message: 'the local API has too many connections open',
    fix: ['close clients that are no longer used', 'nzcore status'],
    status: 503,
    exit: 'failed',
    retryable: true,
  },
  NZ_IPC_DEADLINE: {
    message: 'the call took longer than it may',
    fix: ['nzcore status', 'try again'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_IPC_STOPPING: {
    message: 'the node is stopping',
    fix: ['nzcore up'],
    status: 503,
    exit: 'notRunning',
    retryable: true,
  },
  NZ_IPC_NOT_RUNNING: {
    message: 'no node runs for this profile',
    fix: ['nzcore up'],
    status: 503,
    exit: 'notRunning',
    retryable: true,
  },
  NZ_IPC_CONNECTION_LOST: {
    message: 'the connection to the node broke off',
    fix: ['nzcore status', 'nzcore logs'],
    status: 503,
    exit: 'notRunning',
    retryable: true,
  },
  NZ_IPC_ANSWER_INVALID: {
    message: 'what answered does not speak this version of the local API',
    fix: ['nzcore version', 'nzcore down', 'nzcore up'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_IPC_SOCKET_TAKEN: {
    message: 'another process serves the socket of this profile, or a file is in its place',
    fix: ['nzcore status', 'nzcore down', 'move the file in data.path away'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_IPC_SOCKET_FOLDER: {
    message: 'the folder of the local API belongs to someone else or is open to others',
    fix: ['chmod go-rwx the folder in data.path, or set XDG_RUNTIME_DIR to a folder of your own'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
})
