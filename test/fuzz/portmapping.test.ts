/** Whatever a router, or somebody who plays one, says: read or refused, soon, and never a place that is not on the router. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeAnswer } from '../../protocols/portmapping/nat-pmp.ts'
import { decodeMapAnswer } from '../../protocols/portmapping/pcp.ts'
import { answerTo, controlIn, locationIn } from '../../protocols/portmapping/upnp.ts'
import { parseXml } from '../../protocols/portmapping/xml.ts'

const numRuns = process.env['NZ_FULL'] === '1' ? 300_000 : 3_000
const { pcp, upnp } = JSON.parse(readFileSync(new URL('../../spec/vectors/portmapping.json', import.meta.url), 'utf8'))
const nonce = new Uint8Array(Buffer.from(pcp.nonce, 'hex'))

/** A text with pieces of it changed, doubled, cut out and put elsewhere. */
const bent = (text: string): fc.Arbitrary<string> =>
  fc
    .array(
      fc.record({
        at: fc.nat(text.length),
        length: fc.nat(40),
        put: fc.oneof(
          fc.string({ maxLength: 12 }),
          fc.constantFrom(
            '<',
            '</',
            '>',
            '/>',
            '<!--',
            '<![CDATA[',
            ']]>',
            '&#x',
            '&lt;',
            '<a>',
            '//192.168.1.2/',
            '@',
          ),
        ),
      }),
      { minLength: 1, maxLength: 5 },
    )
    .map((edits) =>
      edits.reduce((made, { at, length, put }) => `${made.slice(0, at)}${put}${made.slice(at + length)}`, text),
    )

describe('the decoders of routers’ answers', () => {
  it('PCP and NAT-PMP: any bytes', () => {
    const honest = [pcp.mapped, pcp.addressMismatch, pcp.otherVersion, '0082000000000001']
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .tuple(fc.constantFrom(...honest), fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 4 }))
        .map(([hex, edits]) => {
          const made = new Uint8Array(Buffer.from(hex, 'hex'))
          for (const [at, value] of edits) if (at < made.length) made[at] = value
          return made
        }),
    )
    fc.assert(
      fc.property(bytes, (any) => {
        decodeAnswer(any)
        const answer = decodeMapAnswer(any, nonce)
        if (answer?.type === 'mapping') assert.match(answer.outsideAddress, /^\d+\.\d+\.\d+\.\d+$/)
      }),
      { numRuns: numRuns * 3 },
    )
  })
  it('SSDP and descriptions lead to the router or nowhere', () => {
    const location = new URL(upnp.location)
    fc.assert(
      fc.property(bent(upnp.ssdp), (text) => {
        const found = locationIn(Buffer.from(text), upnp.router)
        if (found !== null) assert.equal(found.hostname, upnp.router)
      }),
      { numRuns },
    )
    fc.assert(
      fc.property(bent(upnp.description), (text) => {
        const control = controlIn(text, location)
        if (control !== null) assert.equal(control.host, upnp.router)
      }),
      { numRuns },
    )
  })
  it('answers to calls, and any XML', () => {
    fc.assert(
      fc.property(fc.oneof(bent(upnp.entry), bent(upnp.fault), fc.string({ maxLength: 300 })), (text) => {
        parseXml(text)
        answerTo('GetSpecificPortMappingEntry', text)
      }),
      { numRuns },
    )
  })
})
