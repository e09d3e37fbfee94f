/** First aid: what of this machine and this node is not as it should be, and what to do about it. */
import { z } from 'zod'
import { defineModule, KernelService } from '../../kernel/index.ts'
import { ConfigLayersService } from '../config/service.ts'
import { HomeService } from '../home/service.ts'
import { IdentityFactsService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { examine } from './examine.ts'
import { DoctorService } from './service.ts'

export { examine } from './examine.ts'
export type { Subject } from './subject.ts'

export default defineModule({
  name: 'doctor',
  config: z.strictObject({}),
  requires: {
    kernel: KernelService,
    home: HomeService,
    network: NetworkService,
    identity: IdentityFactsService,
    configLayers: ConfigLayersService,
  },
  provides: { doctor: DoctorService },
  emits: {},
  capabilities: [],
  restart: 'transient',

  setup({ clock }, { kernel, home, network, identity, configLayers }) {
    const service: DoctorService = {
      examine: async (options) =>
        await examine(
          {
            home: home.paths,
            clock,
            // What lies in the files now: the next start has to live with it.
            readConfig: async () => kernel.config.withUserLayers(await configLayers.read()),
            readIdentity: async () => await identity.facts(),
            readBackend: async () => network.backend(),
            node: {
              modules: () => kernel.modules(),
              addresses: () => network.addresses(),
              reachability: () => network.reachability(),
            },
          },
          options,
        ),
    }
    return { services: { doctor: service } }
  },
})
