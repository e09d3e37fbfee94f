/** Which stack a node uses and how it is chosen. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { configLayers } from '../../modules/config/index.ts'
import { chooseBackend } from '../../modules/network/backend-choice.ts'
import networkModule from '../../modules/network/index.ts'

const home = { configFile: '/nowhere/config.toml', profile: 'default' }

async function environmentValues(env: Record<string, string>): Promise<unknown> {
  const layers = await configLayers({ sources: [networkModule], home, env, flags: [] }).read()
  return layers.find(({ origin }) => origin === 'environment')?.values['network']
}

describe('NZ_NATIVE', () => {
  it('is short for network.native', async () => {
    for (const [short, native] of Object.entries({ '0': 'off', '1': 'auto', epoll: 'epoll', stock: 'stock' }))
      assert.deepEqual(await environmentValues({ NZ_NATIVE: short }), { native })
  })

  it('gives way to the full name, and says what it cannot be', async () => {
    assert.deepEqual(await environmentValues({ NZ_NATIVE: '0', NZ_NETWORK_NATIVE: 'epoll' }), { native: 'epoll' })
    assert.equal(await environmentValues({ NZ_NATIVE: '' }), undefined)
    const values = await environmentValues({ NZ_NATIVE: 'yes' })
    const { issues } = await networkModule.config['~standard'].validate(values)
    assert.match(issues?.[0]?.message ?? '', /auto/)
  })
})

it('a choice that was made is not probed', async () => {
  assert.deepEqual(await chooseBackend('off'), {
    asked: 'off',
    backend: 'typescript',
    code: 'off',
    reason: 'the native stack is switched off',
    native: null,
  })
  assert.equal((await chooseBackend('stock')).backend, 'libp2p')
})
