/** Every scenario, in the order they are run and printed. */
import { attack } from './attack.bench.ts'
import { burst } from './burst.bench.ts'
import { channel } from './channel.bench.ts'
import { daemon } from './daemon.bench.ts'
import { mesh } from './mesh.bench.ts'
import { dial } from './dial.bench.ts'
import { dhtSimulation } from './dht-simulation.bench.ts'
import { dht } from './dht.bench.ts'
import { echo } from './echo.bench.ts'
import { eventlog } from './eventlog.bench.ts'
import { idle } from './idle.bench.ts'
import { ladder } from './ladder.bench.ts'
import { files } from './files.bench.ts'
import { routedStream, routing } from './routing.bench.ts'
import { send } from './send.bench.ts'
import { slowReader } from './slow-reader.bench.ts'
import { storeGet, storeOpen, storePut, storeRange, storeWriters } from './storage.bench.ts'
import type { Scenario } from './scenario.ts'
import { streams } from './streams.bench.ts'
import { throughput } from './throughput.bench.ts'
import { trust } from './trust.bench.ts'

export const scenarios: readonly Scenario[] = [
  burst,
  echo,
  throughput,
  mesh,
  dial,
  streams,
  idle,
  slowReader,
  ladder,
  attack,
  daemon,
  send,
  files,
  storePut,
  storeGet,
  storeRange,
  storeWriters,
  storeOpen,
  eventlog,
  dht,
  dhtSimulation,
  channel,
  routing,
  routedStream,
  trust,
]
