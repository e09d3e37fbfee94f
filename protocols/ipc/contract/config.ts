/** Local API: the configuration in force. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

export const ConfigEntryItem = z.strictObject({
  path: z.string().describe('dotted, the module first: network.listen'),
  value: z.unknown().describe('secrets read <redacted>'),
  origin: z.enum(['default', 'composition', 'file', 'environment', 'flags']).describe('where the value comes from'),
  type: z.string(),
  unit: z.string().nullable(),
  default: z.unknown(),
  description: z.string().nullable(),
  environment: z.string().describe('environment variable that sets it'),
  isSecret: z.boolean(),
})

export const configContract = defineContract({
  configRunning: {
    method: 'GET',
    path: '/config',
    kind: 'call',
    summary: 'Show the configuration the running node uses',
    command: ['config', 'running'],
    schemaName: 'nz.config/1',
    params: z.strictObject({}),
    result: z.strictObject({ entries: z.array(ConfigEntryItem) }),
    capability: 'config.read',
    errors: [],
  },
  configReload: {
    method: 'POST',
    path: '/config/reload',
    kind: 'call',
    summary: 'Let the running node take over its changed configuration',
    command: ['config', 'reload'],
    schemaName: 'nz.config-reload/1',
    params: z.strictObject({}),
    result: z.strictObject({
      reloaded: z.array(z.string()).describe('modules that have taken over their new values'),
      needRestart: z.array(z.string()).describe('modules whose new values need: nzcore down, nzcore up'),
    }),
    capability: 'config.write',
    errors: ['NZ_KERNEL_CONFIG_INVALID', 'NZ_CONFIG_SYNTAX', 'NZ_CONFIG_UNREADABLE'],
  },
})
