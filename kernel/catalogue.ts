/** The kernel's own error codes. */
import { defineErrors } from './errors.ts'

export const kernelErrors = defineErrors({
  NZ_KERNEL_DEPENDENCY_CYCLE: {
    message: 'modules depend on each other in a cycle',
    fix: ['remove one of the requirements named in data.path'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
  NZ_KERNEL_SERVICE_MISSING: {
    message: 'no module provides a required service',
    fix: ['add the module that provides it to the composition'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
  NZ_KERNEL_SERVICE_TWICE: {
    message: 'two modules provide the same service',
    fix: ['leave one of the two modules out of the composition'],
    status: 500,
    exit: 'failed',
    retryable: false,
  },
  NZ_KERNEL_CONFIG_INVALID: {
    message: 'configuration is invalid',
    fix: ['nzcore config check'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_KERNEL_CONFIG_KEY_UNKNOWN: {
    message: 'there is no such configuration key',
    fix: ['nzcore config show'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_KERNEL_START_TIMEOUT: {
    message: 'module did not start in time',
    fix: ['nzcore logs', 'nzcore doctor'],
    status: 503,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_KERNEL_STATE: {
    message: 'call is not allowed in this kernel state',
    fix: ['nzcore status'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
})
