import { kernelErrors } from './catalogue.ts'
import type { AnyModule } from './module.ts'

/** Orders modules so that each comes after every module whose service it requires. */
export function startOrder(modules: readonly AnyModule[], provided: ReadonlySet<string> = new Set()): AnyModule[] {
  const providers = new Map<string, AnyModule>()
  for (const module of modules) {
    for (const { id } of tokens(module.provides)) {
      if (provided.has(id))
        throw kernelErrors.NZ_KERNEL_SERVICE_TWICE({ data: { service: id, modules: ['composition', module.name] } })
      const other = providers.get(id)
      if (other !== undefined)
        throw kernelErrors.NZ_KERNEL_SERVICE_TWICE({ data: { service: id, modules: [other.name, module.name] } })
      providers.set(id, module)
    }
  }

  const order: AnyModule[] = []
  const state = new Map<AnyModule, 'visiting' | 'done'>()

  function visit(module: AnyModule, path: readonly string[]): void {
    if (state.get(module) === 'done') return
    if (state.get(module) === 'visiting')
      throw kernelErrors.NZ_KERNEL_DEPENDENCY_CYCLE({ data: { path: [...path, module.name] } })
    state.set(module, 'visiting')
    for (const { id } of tokens(module.requires)) {
      if (provided.has(id)) continue
      const provider = providers.get(id)
      if (provider === undefined)
        throw kernelErrors.NZ_KERNEL_SERVICE_MISSING({ data: { service: id, module: module.name } })
      visit(provider, [...path, module.name])
    }
    state.set(module, 'done')
    order.push(module)
  }

  for (const module of modules) visit(module, [])
  return order
}

function tokens(record: AnyModule['requires']): Array<{ id: string }> {
  return Object.values(record)
}
