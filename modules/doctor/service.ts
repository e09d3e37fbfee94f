/** What others may know of `doctor`: what was looked at, how it is, and what to do about it. */
import { defineErrors, defineService } from '../../kernel/index.ts'

export interface Finding {
  /** Stable name, `subject.aspect`: `home.mode`, `ports.tcp`. */
  readonly check: string
  /** `fail`: something does not work, or is not safe; `warn`: it may soon not, or works less well than it could. */
  readonly state: 'ok' | 'warn' | 'fail'
  /** One sentence, without trailing punctuation. */
  readonly what: string
  /** What to do, most likely first; empty when nothing needs to be done. */
  readonly fix: readonly string[]
}

export interface Diagnosis {
  /** The worst of the findings. */
  readonly state: 'ok' | 'warn' | 'fail'
  /** Whether the node that runs this profile examined itself. */
  readonly isNodeRunning: boolean
  readonly findings: readonly Finding[]
}

export interface DoctorService {
  /** Looks at this machine and this node. Sends nothing to any network, changes nothing. */
  examine(options: { readonly signal: AbortSignal }): Promise<Diagnosis>
}

export const DoctorService = defineService<DoctorService>('doctor')

export const doctorErrors = defineErrors({
  NZ_DOCTOR_CHECK_FAILED: {
    message: 'a check of the doctor itself failed',
    fix: ['nzcore logs', 'report data.check with what nzcore doctor --json prints'],
    status: 500,
    exit: 'failed',
    retryable: true,
  },
})
