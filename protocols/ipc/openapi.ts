/** Renders the contract as an OpenAPI 3.1 document; spec/openapi.json is its committed output. */
import { DUPLEX_PROTOCOL } from './duplex.ts'
import { ProblemSchema } from './problem-schemas.ts'
import { jsonSchemaOf } from './json-schemas.ts'
import type { Contract, Endpoint } from './endpoint.ts'

export function openApiDocument(contract: Contract, version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [operationId, endpoint] of Object.entries(contract)) {
    const path = (paths[`/v1${endpoint.path}`] ??= {})
    path[endpoint.method.toLowerCase()] = operation(operationId, endpoint)
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'nzcore local API',
      version,
      description:
        'HTTP/1.1 on the Unix socket of a profile, without a token, or on TCP with one. ' +
        'Requests with an Origin, and over TCP with a foreign Host, are refused.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://localhost', description: 'the Unix socket, or the TCP listener when it is on' }],
    security: [{}, { token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: { Problem: jsonSchemaOf(ProblemSchema, 'output') },
    },
  }
}

function operation(operationId: string, endpoint: Endpoint): object {
  const { summary, capability, errors, command, schemaName, kind } = endpoint
  const isInBody = endpoint.method === 'POST' && kind !== 'duplex'
  const params = jsonSchemaOf(endpoint.params, 'input')
  return {
    operationId,
    summary,
    'x-kind': kind,
    'x-capability': capability,
    'x-errors': errors,
    'x-command': command.join(' '),
    'x-document': schemaName,
    ...(isInBody
      ? { requestBody: { required: true, content: { 'application/json': { schema: params } } } }
      : { parameters: parametersOf(endpoint, params) }),
    responses: {
      ...answersOf(endpoint),
      default: {
        description: 'Refused: match on `code`',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

function answersOf({ kind, summary, result }: Endpoint): object {
  const schema = jsonSchemaOf(result, 'output')
  if (kind === 'duplex') {
    return {
      101: {
        description: `${summary}: frames of bytes and messages in both directions; the node's messages are x-message`,
        headers: { Upgrade: { schema: { const: DUPLEX_PROTOCOL } } },
        'x-message': schema,
      },
    }
  }
  const type = kind === 'stream' ? 'text/event-stream' : 'application/json'
  const description = kind === 'stream' ? `${summary}: one result in the data of each event` : summary
  return { 200: { description, content: { [type]: { schema } } } }
}

function parametersOf({ kind, resume }: Endpoint, params: Readonly<Record<string, unknown>>): object[] {
  const properties = (params['properties'] ?? {}) as Readonly<Record<string, Readonly<Record<string, unknown>>>>
  const required = (params['required'] ?? []) as readonly string[]
  const query: object[] = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    // Strings travel as they are, anything else as JSON; a list also as repeated names.
    ...(schema['type'] === 'string' || schema['type'] === 'array'
      ? { schema }
      : { content: { 'application/json': { schema } } }),
  }))
  const header = (name: string, description: string, schema: object): object => ({
    name,
    in: 'header',
    required: name === 'Upgrade',
    description,
    schema,
  })
  if (kind === 'duplex') query.push(header('Upgrade', 'protocol after the answer', { const: DUPLEX_PROTOCOL }))
  if (resume !== undefined) {
    query.push(header('Last-Event-ID', `same as ${resume.param}`, { type: 'string' }))
  }
  return query
}
