/** What may go wrong with names. */
import { defineErrors } from '../../../kernel/index.ts'

export const dnsErrors = defineErrors({
  NZ_DNS_FAILED: {
    message: 'no resolver answered the question for the name',
    fix: ['check this machine’s network connection', 'name another resolver: nzcore config explain network.dns'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_DNS_NAME_INVALID: {
    message: 'that is not a name that DNS knows',
    fix: ['names look like example.org'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DNS_NO_NODE: {
    message: 'the name leads to no such node',
    fix: ['check the name', 'ask the owner of the name for the TXT records at _dnsaddr.<name>'],
    status: 404,
    exit: 'notFound',
    retryable: true,
  },
})
