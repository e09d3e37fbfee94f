/** What a level of trust lets a peer do at this node (NZ-TRUST-01 §7). */
import { z } from 'zod'
import { trustLevels } from './service.ts'
import type { EffectiveTrust } from '../../protocols/trust/effective.ts'
import type { LevelName, TrustAct } from './service.ts'

const level = (least: LevelName, what: string): z.ZodDefault<z.ZodEnum<Record<LevelName, LevelName>>> =>
  z
    .enum(Object.fromEntries(trustLevels.map((name) => [name, name])) as Record<LevelName, LevelName>)
    .default(least)
    .describe(`least level of trust in a peer that ${what}`)

export const policyConfig = z.strictObject({
  connect: level('UNKNOWN', 'may connect; a revoked peer never may'),
  replicate: level('LOW', 'is told, and may tell, what this node knows of trust'),
  send: level('LOW', 'may open streams and send files; it must be a contact, too'),
  route: level('MEDIUM', 'may pass packets through this node'),
  administer: level('ULTIMATE', 'may change this node’s settings'),
})

export type Policy = z.infer<typeof policyConfig>

export const trustActs = ['connect', 'replicate', 'send', 'route', 'administer'] as const satisfies readonly TrustAct[]

export function allows(policy: Policy, { level: has, because }: EffectiveTrust, act: TrustAct): boolean {
  return because !== 'revoked' && has >= trustLevels.indexOf(policy[act])
}
