/** The first half of the seeds of 50 nodes. NZ_FULL=1 runs 1,000 seeds in both halves. */
import { fiftyNodes } from './fifty.ts'

fiftyNodes(1)
