import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parse as parseToml } from 'smol-toml'
import { setConfigKey } from '../../modules/config/edit.ts'
import { parseConfig } from '../../modules/config/toml-file.ts'

/** Without the prototypes of parsed tables. */
function parse(toml: string) {
  return JSON.parse(JSON.stringify(parseToml(toml)))
}

const text = `# my node
[network]
# where to listen
listen = [
  "/ip4/0.0.0.0/tcp/4001", # tcp
]
maxPeers = 50   # more than that is slow

[logs]
level = "info" # quiet "enough"
`

describe('a key that is set', () => {
  it('keeps every comment and every other line', () => {
    const edited = setConfigKey(text, ['logs', 'level'], 'debug')
    assert.equal(edited, text.replace('level = "info" #', 'level = "debug" #'))
    assert.equal(setConfigKey(text, ['network', 'maxPeers'], 7), text.replace('maxPeers = 50   #', 'maxPeers = 7   #'))
  })

  it('replaces a value of many lines', () => {
    const edited = setConfigKey(text, ['network', 'listen'], ['/ip4/127.0.0.1/tcp/0'])
    assert.deepEqual(parse(edited), {
      network: { listen: ['/ip4/127.0.0.1/tcp/0'], maxPeers: 50 },
      logs: { level: 'info' },
    })
    assert.match(edited, /# my node[^]*# where to listen[^]*# more than that/)
  })

  it('joins its table, or brings it', () => {
    assert.deepEqual(parse(setConfigKey('', ['logs', 'level'], 'warn')), { logs: { level: 'warn' } })
    assert.equal(
      setConfigKey(text, ['network', 'dialTimeoutMs'], 5),
      text.replace('slow\n', 'slow\ndialTimeoutMs = 5\n'),
    )
    assert.match(setConfigKey(text, ['ipc', 'tcp', 'port'], 1), /# my node[^]*\[ipc\.tcp\]\nport = 1\n$/)
  })

  it('is removed with undefined', () => {
    assert.deepEqual(parse(setConfigKey(text, ['network', 'listen'], undefined)), {
      network: { maxPeers: 50 },
      logs: { level: 'info' },
    })
  })

  it('is set also where it stands in a form that cannot be edited in place', () => {
    for (const odd of [
      'network = { maxPeers = 1 }\n',
      'network.maxPeers = 1\n',
      '[ network ]\n"maxPeers" = 1\n',
      'x = """\n[network]\nmaxPeers = 3\n"""\n',
    ]) {
      const before = parse(odd)
      const after = parse(setConfigKey(odd, ['network', 'maxPeers'], 2))
      assert.deepEqual(JSON.parse(JSON.stringify(after)), {
        ...JSON.parse(JSON.stringify(before)),
        network: { maxPeers: 2 },
      })
    }
  })

  it('changes nothing else, whatever the file', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string(), { maxLength: 3 }))
    const name = fc.stringMatching(/^[a-z][a-zA-Z0-9]{0,5}$/)
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.dictionary(name, scalar)),
        name,
        name,
        scalar,
        (document, table, key, value) => {
          let written = ''
          for (const [at, keys] of Object.entries(document)) {
            for (const [each, held] of Object.entries(keys)) written = setConfigKey(written, [at, each], held)
          }
          const filled = Object.fromEntries(Object.entries(document).filter(([, keys]) => Object.keys(keys).length > 0))
          const after = JSON.parse(JSON.stringify(parse(setConfigKey(written, [table, key], value))))
          assert.deepEqual(
            after,
            JSON.parse(JSON.stringify({ ...filled, [table]: { ...filled[table], [key]: value } })),
          )
        },
      ),
      { numRuns: 200 },
    )
  })
})

it('a mistake in the file is told with line and column, without the text of the line', () => {
  assert.throws(
    () => parseConfig('[network]\nsecret = hunter2\n', 'config.toml'),
    (error: Error & { code: string; why: string; data: object }) => {
      assert.equal(error.code, 'NZ_CONFIG_SYNTAX')
      assert.match(error.why, /^line 2, column \d+: /)
      assert.ok(!JSON.stringify(error).includes('hunter2') && !error.why.includes('hunter2'))
      return true
    },
  )
})
