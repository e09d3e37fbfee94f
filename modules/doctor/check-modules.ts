/** The modules of the running node, as its supervisor sees them. */
import { fail, ok, warn } from './subject.ts'
import type { Check } from './subject.ts'
import type { Finding } from './service.ts'

export const checkModules: Check = async ({ node }) => {
  if (node === null) return []
  const modules = node.modules()
  const findings = modules.flatMap(({ name, state, health, restarts, lastErrorCode }): readonly Finding[] => {
    const check = `modules.${name}`
    const code = lastErrorCode === null ? '' : ` (${lastErrorCode})`
    if (state === 'failed')
      return [fail(check, `${name} was given up after ${restarts} restarts${code}`, 'nzcore logs')]
    if (health !== null && health.state !== 'healthy') {
      const tell = health.state === 'degraded' ? warn : fail
      return [
        tell(check, `${name} is ${health.state}: ${health.why} (${health.code})`, `nzcore explain ${health.code}`),
      ]
    }
    return restarts > 0 ? [warn(check, `${name} was restarted ${restarts} times${code}`, 'nzcore logs')] : []
  })
  return findings.length > 0 ? findings : [ok('modules', `all ${modules.length} modules run`)]
}
