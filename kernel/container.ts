/** The services of a node. A module is handed the ones it requires and can reach no other. */
import { kernelErrors } from './catalogue.ts'
import type { AnyModule } from './module.ts'
import type { ProvidedService, ServiceToken } from './service.ts'

export class Container {
  readonly #services = new Map<string, unknown>()

  /** @throws NZ_KERNEL_SERVICE_TWICE */
  constructor(ready: readonly ProvidedService[]) {
    for (const { token, value } of ready) {
      if (this.#services.has(token.id))
        throw kernelErrors.NZ_KERNEL_SERVICE_TWICE({
          data: { service: token.id, modules: ['composition', 'composition'] },
        })
      this.#services.set(token.id, value)
    }
  }

  ids(): ReadonlySet<string> {
    return new Set(this.#services.keys())
  }

  /** @throws NZ_KERNEL_SERVICE_MISSING when no module that is set up provides it */
  get<Service>(token: ServiceToken<Service>): Service {
    if (!this.#services.has(token.id)) throw kernelErrors.NZ_KERNEL_SERVICE_MISSING({ data: { service: token.id } })
    return this.#services.get(token.id) as Service // the token's type says what was stored under its id
  }

  /** What `module` requires, under its own names. @throws NZ_KERNEL_SERVICE_MISSING */
  servicesFor(module: AnyModule): Readonly<Record<string, unknown>> {
    const required = Object.entries(module.requires as Record<string, ServiceToken<unknown>>)
    return Object.freeze(Object.fromEntries(required.map(([key, token]) => [key, this.get(token)])))
  }

  /** Takes the services of a module that is set up. */
  publish(module: AnyModule, services: Readonly<Record<string, unknown>>): void {
    for (const [key, token] of Object.entries(module.provides as Record<string, ServiceToken<unknown>>)) {
      if (services[key] === undefined)
        throw new TypeError(`setup of module ${module.name} returned no service "${key}", which it provides`)
      this.#services.set(token.id, services[key])
    }
  }

  /** Forgets the services of a module that has stopped. */
  withdraw(module: AnyModule): void {
    for (const { id } of Object.values(module.provides as Record<string, ServiceToken<unknown>>))
      this.#services.delete(id)
  }
}
