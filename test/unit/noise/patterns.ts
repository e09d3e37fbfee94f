/** Every fundamental, one-way and deferred pattern of the Noise framework (revision 34 §7.4, §7.5, §18), as test data. */
import type { HandshakePattern, Token } from '../../../protocols/noise/handshake.ts'

/** `<known statics>|<message>|<message>…`; `i` and `r` say whose static key is known. */
const TABLE: Readonly<Record<string, string>> = {
  N: 'r|e es',
  K: 'ir|e es ss',
  X: 'r|e es s ss',
  NN: '|e|e ee',
  KN: 'i|e|e ee se',
  NK: 'r|e es|e ee',
  KK: 'ir|e es ss|e ee se',
  NX: '|e|e ee s es',
  KX: 'i|e|e ee se s es',
  XN: '|e|e ee|s se',
  IN: '|e s|e ee se',
  XK: 'r|e es|e ee|s se',
  IK: 'r|e es s ss|e ee se',
  XX: '|e|e ee s es|s se',
  IX: '|e s|e ee se s es',
  NK1: 'r|e|e ee es',
  NX1: '|e|e ee s|es',
  X1N: '|e|e ee|s|se',
  X1K: 'r|e es|e ee|s|se',
  XK1: 'r|e|e ee es|s se',
  X1K1: 'r|e|e ee es|s|se',
  X1X: '|e|e ee s es|s|se',
  XX1: '|e|e ee s|es s se',
  X1X1: '|e|e ee s|es s|se',
  K1N: 'i|e|e ee|se',
  K1K: 'ir|e es|e ee|se',
  KK1: 'ir|e|e ee se es',
  K1K1: 'ir|e|e ee es|se',
  K1X: 'i|e|e ee s es|se',
  KX1: 'i|e|e ee se s|es',
  K1X1: 'i|e|e ee s|se es',
  I1N: '|e s|e ee|se',
  I1K: 'r|e es s|e ee|se',
  IK1: 'r|e s|e ee se es',
  I1K1: 'r|e s|e ee es|se',
  I1X: '|e s|e ee s es|se',
  IX1: '|e s|e ee se s|es',
  I1X1: '|e s|e ee s|se es',
}

/** The pattern of a name such as `XXpsk0+psk3`. */
export function patternNamed(name: string): HandshakePattern {
  const [, base = '', modifiers = ''] = /^([A-Z0-9]+)(.*)$/.exec(name) ?? []
  const row = TABLE[base]
  if (row === undefined) throw new Error(`no such pattern: ${name}`)
  const [known = '', ...rest] = row.split('|')
  const messages = rest.map((message) => message.split(' ') as Token[])
  for (const [, position] of modifiers.matchAll(/psk(\d)/g)) {
    if (position === '0') messages[0]?.unshift('psk')
    else messages[Number(position) - 1]?.push('psk')
  }
  return {
    name,
    initiatorStaticIsKnown: known.includes('i'),
    responderStaticIsKnown: known.includes('r'),
    messages,
  }
}
