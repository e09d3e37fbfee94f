/** Which module needs which: the order of start, checked before anything runs. */
import { kernelErrors } from './catalogue.ts'
import type { AnyModule } from './module.ts'
import type { ServiceToken } from './service.ts'

export class DependencyGraph {
  /** Each module after every module whose service it requires; otherwise as they were given. */
  readonly order: readonly AnyModule[]
  readonly #requires = new Map<string, readonly string[]>()

  /**
   * @param provided ids of the services that exist without a module
   * @throws NZ_KERNEL_DEPENDENCY_CYCLE, NZ_KERNEL_SERVICE_MISSING, NZ_KERNEL_SERVICE_TWICE, NZ_KERNEL_MODULE_TWICE
   */
  constructor(modules: readonly AnyModule[], provided: ReadonlySet<string>) {
    const providers = providersOf(modules, provided)
    const order: AnyModule[] = []
    const visiting: string[] = []

    const visit = (module: AnyModule): void => {
      const { name } = module
      if (this.#requires.has(name)) return
      if (visiting.includes(name)) throw cycle([...visiting.slice(visiting.indexOf(name)), name])
      visiting.push(name)
      const required = new Set<string>()
      for (const { id } of tokensOf(module.requires)) {
        if (provided.has(id)) continue
        const provider = providers.get(id)
        if (provider === undefined) throw missing(id, name)
        visit(provider)
        required.add(provider.name)
      }
      visiting.pop()
      this.#requires.set(name, [...required])
      order.push(module)
    }

    for (const module of modules) visit(module)
    this.order = order
  }

  /** Names of the modules whose services `name` uses itself. */
  requires(name: string): readonly string[] {
    return this.#requires.get(name) ?? []
  }

  /** Names of the modules that use a service of `name` themselves. */
  dependents(name: string): string[] {
    return [...this.#requires].flatMap(([other, required]) => (required.includes(name) ? [other] : []))
  }
}

export function tokensOf(tokens: AnyModule['requires']): readonly ServiceToken<unknown>[] {
  return Object.values(tokens as Record<string, ServiceToken<unknown>>)
}

function providersOf(modules: readonly AnyModule[], provided: ReadonlySet<string>): Map<string, AnyModule> {
  const providers = new Map<string, AnyModule>()
  const names = new Set<string>()
  for (const module of modules) {
    if (names.has(module.name)) throw kernelErrors.NZ_KERNEL_MODULE_TWICE({ data: { module: module.name } })
    names.add(module.name)
    for (const { id } of tokensOf(module.provides)) {
      const other = provided.has(id) ? 'composition' : providers.get(id)?.name
      if (other !== undefined)
        throw kernelErrors.NZ_KERNEL_SERVICE_TWICE({
          why: `${id} is provided by ${other} and by ${module.name}`,
          data: { service: id, modules: [other, module.name] },
        })
      providers.set(id, module)
    }
  }
  return providers
}

function cycle(path: readonly string[]): Error {
  return kernelErrors.NZ_KERNEL_DEPENDENCY_CYCLE({ why: path.join(' → '), data: { path } })
}

function missing(service: string, module: string): Error {
  const why = `${module} requires ${service}`
  return kernelErrors.NZ_KERNEL_SERVICE_MISSING({ why, data: { service, module } })
}
