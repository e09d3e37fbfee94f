/** Error codes of the command line itself. */
import { defineErrors } from '../kernel/index.ts'

export const cliErrors = defineErrors({
  NZ_CLI_USAGE: {
    message: 'the command line is not understood',
    fix: ['nzcore --help'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CLI_NO_TTY: {
    message: 'a question cannot be asked because there is no terminal',
    fix: ['give the answer as an option: run the command with --help', 'run the command in a terminal'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CLI_WORDS_NOT_SHOWN: {
    message: 'the words cannot be compared because there is no terminal',
    fix: ['add --yes to accept by the ticket alone', 'run the command in a terminal'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CLI_NO_PONG: {
    message: 'the peer answered no ping',
    fix: ['nzcore peers show <peer>', 'nzcore doctor'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_CLI_INTERRUPTED: {
    message: 'interrupted',
    fix: [],
    status: 499,
    exit: 'interrupted',
    retryable: true,
  },
  NZ_CLI_OUTPUT_CLOSED: {
    message: 'the reader of the output has gone',
    fix: [],
    status: 499,
    exit: 'ok',
    retryable: true,
  },
  NZ_CLI_DAEMON_DIED: {
    message: 'the daemon ended before it was ready',
    fix: ['nzcore logs', 'nzcore up --foreground'],
    status: 500,
    exit: 'failed',
    retryable: true,
  },
  NZ_CLI_DAEMON_SLOW: {
    message: 'the daemon was not ready in time',
    fix: ['nzcore status', 'nzcore logs', 'nzcore up --wait 120s'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_CLI_DAEMON_FAULT: {
    message: 'the daemon met an error that nothing handled, and stops',
    fix: ['nzcore up', 'report what `nzcore logs` shows'],
    status: 500,
    exit: 'failed',
    retryable: true,
  },
  NZ_CLI_STOP_SLOW: {
    message: 'the daemon did not stop in time',
    fix: ['nzcore status', 'end the process in data.pid'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_CLI_UNKNOWN_CODE: {
    message: 'no error has this code',
    fix: ['see spec/errors.md for all codes'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_CLI_UNEXPECTED: {
    message: 'nzcore failed in a way it does not know',
    fix: ['nzcore logs', 'run it again with NZ_DEBUG=1 and report what it prints'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
})
