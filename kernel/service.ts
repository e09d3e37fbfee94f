/** A typed key under which a module provides a service and others require it. */
export interface ServiceToken<Service> {
  readonly id: string
  /** Type carrier only; never present at run time. */
  readonly _type?: Service
}

export function defineService<Service>(id: string): ServiceToken<Service> {
  return Object.freeze({ id })
}

export type ServiceTokens = Readonly<Record<string, ServiceToken<unknown>>>

/** `{ net: ServiceToken<Net> }` becomes `{ net: Net }`. */
export type ServicesOf<Tokens extends ServiceTokens> = {
  readonly [Key in keyof Tokens]: Tokens[Key] extends ServiceToken<infer Service> ? Service : never
}

/** A service that exists already, given to the kernel by the composition. */
export interface ProvidedService {
  readonly token: ServiceToken<unknown>
  readonly value: unknown
}

/** Pairs a token with its implementation: `services: [provide(LogsService, logs)]`. */
export function provide<Service>(token: ServiceToken<Service>, value: NoInfer<Service>): ProvidedService {
  return Object.freeze({ token, value })
}
