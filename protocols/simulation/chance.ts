/** Seeded chance, one stream for each use, so that what one part draws changes nothing for the others. */
import { hash } from 'node:crypto'
import { seededRandom } from '../../kernel/index.ts'
import type { Random } from '../../kernel/index.ts'

export class Chance {
  readonly random: Random

  /** The same stream for the same seed and name, on every machine. */
  constructor(seed: number, name: string) {
    const words = hash('sha256', `${seed}/${name}`, 'buffer')
    this.random = seededRandom(words.readUInt32BE(0))
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.random.unit() * (most - least + 1))
  }

  happens(probability: number): boolean {
    return this.random.unit() < probability
  }

  /** @throws RangeError when there is nothing to pick from */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.random.unit() * items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }

  /** `count` different items, or all. */
  some<T>(items: readonly T[], count: number): readonly T[] {
    const left = [...items]
    const found: T[] = []
    while (found.length < count && left.length > 0) found.push(...left.splice(this.between(0, left.length - 1), 1))
    return found
  }
}
