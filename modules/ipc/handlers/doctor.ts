/** Handlers of the group `doctor`. */
import type { doctorContract } from '../../../protocols/ipc/contract/doctor.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { DoctorService } from '../../doctor/service.ts'

export function doctorHandlers({ doctor }: { doctor: DoctorService }): Handlers<typeof doctorContract> {
  return {
    async doctorExamine(_params, { signal }) {
      const { state, isNodeRunning, findings } = await doctor.examine({ signal })
      return { state, isNodeRunning, findings: findings.map((finding) => ({ ...finding, fix: [...finding.fix] })) }
    },
  }
}
