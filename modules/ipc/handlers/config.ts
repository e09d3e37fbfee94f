/** Handlers of the group `config`. */
import type { KernelService } from '../../../kernel/index.ts'
import type { configContract } from '../../../protocols/ipc/contract/config.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { ConfigLayersService } from '../../config/service.ts'

export function configHandlers({
  kernel,
  configLayers,
}: {
  readonly kernel: KernelService
  readonly configLayers: ConfigLayersService
}): Handlers<typeof configContract> {
  return {
    async configRunning() {
      const entries = kernel.config.entries().filter(({ isInternal }) => !isInternal)
      return {
        entries: entries.map(
          ({ path, value, origin, type, unit, default: assumed, description, environment, isSecret }) => ({
            path,
            value,
            origin,
            type,
            unit,
            default: assumed,
            description,
            environment,
            isSecret,
          }),
        ),
      }
    },
    async configReload() {
      const { reloaded, needRestart } = await kernel.reload(await configLayers.read())
      return { reloaded: [...reloaded], needRestart: [...needRestart] }
    },
  }
}
