/** Sets or removes one key of the user's configuration, and writes it only when all of it is still valid. */
import { explainKey, flagLayer, resolveConfig } from '../../kernel/index.ts'
import { setConfigKey } from './edit.ts'
import { configLayers, profileConfigFile } from './layers.ts'
import { parseConfig, readConfigText, writeConfigText } from './toml-file.ts'
import type { ConfigEntry, ConfigLayer } from '../../kernel/index.ts'
import type { ConfigLayersInit } from './layers.ts'

export interface ChangeConfigInit extends Omit<ConfigLayersInit, 'flags'> {
  /** What the composition gives. */
  readonly composition: ConfigLayer
  /** Dotted. */
  readonly path: string
  /** Read by the type of the key; `null` removes it. */
  readonly text: string | null
  /** In the file of the profile alone instead of the shared one. */
  readonly onlyProfile: boolean
}

/** @throws NZ_KERNEL_CONFIG_KEY_UNKNOWN, NZ_KERNEL_CONFIG_INVALID, NZ_CONFIG_SYNTAX, NZ_CONFIG_UNWRITABLE */
export async function changeConfig({
  sources,
  home,
  env,
  composition,
  path,
  text,
  onlyProfile,
}: ChangeConfigInit): Promise<{ readonly file: string; readonly entry: ConfigEntry }> {
  explainKey(sources, path)
  const names = path.split('.')
  const value = text === null ? undefined : valueAt(flagLayer(sources, [`${path}=${text}`]).values, names)
  const file = onlyProfile ? profileConfigFile(home) : home.configFile
  const edited = setConfigKey(parsedText(await readConfigText(file), file), names, value)
  const [shared, profile, environment] = await configLayers({ sources, home, env, flags: [] }).read()
  const changed: ConfigLayer = { origin: 'file', values: parseConfig(edited, file) }
  const layers = onlyProfile ? [shared, changed, environment] : [changed, profile, environment]
  const config = resolveConfig({
    modules: sources,
    layers: [composition, ...layers.filter((layer) => layer !== undefined)],
  })
  await writeConfigText(file, edited)
  return { file, entry: config.explain(path) }
}

/** `text`, which has been found to be valid TOML. */
function parsedText(text: string, file: string): string {
  parseConfig(text, file)
  return text
}

function valueAt(values: Readonly<Record<string, unknown>>, names: readonly string[]): unknown {
  let value: unknown = values
  for (const name of names) value = (value as Readonly<Record<string, unknown>> | undefined)?.[name]
  return value
}
