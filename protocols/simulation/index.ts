/** Seeded simulation of the protocol cores: the same seed and scenario give the same run on every machine. ADR 0028. */
export { CONVERGE_MS, MAX_NODES, runScenario, simulate } from './scenario.ts'
export { scenarios } from './scenarios.ts'
export type { Cores, RunOptions, Scenario, Verdict } from './scenario.ts'
