/** Build step: writes the command table beside the compiled program. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { contract } from '../protocols/ipc/contract.ts'
import { buildCommandTable, TABLE_FILE } from './command-table.ts'
import { commandGroups } from './commands/index.ts'

const table = await buildCommandTable(contract, commandGroups)
writeFileSync(join(import.meta.dirname, TABLE_FILE), `${JSON.stringify(table)}\n`)
