/** The configuration's files: what the composition gives the node, and what `nzcore config` edits. */
export { changeConfig } from './change.ts'
export { configLayers, profileConfigFile } from './layers.ts'
