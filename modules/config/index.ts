/** The configuration's files: what the composition gives the node, and what `nzcore config` edits. */
export { setConfigKey } from './edit.ts'
export { configLayers, profileConfigFile } from './layers.ts'
export { parseConfig, readConfigText, writeConfigText } from './toml-file.ts'
