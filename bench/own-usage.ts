/** What this process uses, as the process that measures asks for it. */
import type { Usage, UsageOrder } from './processes.ts'

export function ownUsage(order: UsageOrder): Usage {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  if (order === 'usage-collected') globalThis.gc?.()
  return {
    cpuMs: (userCPUTime + systemCPUTime) / 1_000,
    peakMb: (maxRSS * 1_024) / 1_000_000,
    residentMb: process.memoryUsage.rss() / 1_000_000,
  }
}
