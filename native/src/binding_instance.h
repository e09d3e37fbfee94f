// An engine in a Node environment: what it shares with JS, how its batches are told, how both end.
#pragma once

#include <memory>

#include "binding_values.h"
#include "binding_watch.h"
#include "engine.h"

namespace nz::binding {

// A batch that JS is being told. Its slab goes back to the pool at the end, or with the last piece that JS has kept.
struct Telling {
  ~Telling();
  std::shared_ptr<SlabPool> pool;
  Batch batch;
  // Where the slab's plaintext is, as long as the batch lives; null when it is not in the shared area.
  uint8_t* bytes = nullptr;
  KeptSlab* kept = nullptr;
};

// The environment's cleanup hook frees it, or `halt`.
struct Instance {
  napi_env env = nullptr;
  std::unique_ptr<Engine> engine;
  // Without a thread: who waits for its sockets.
  LoopWatch* watch = nullptr;
  // Tells on the thread of JS what was not told from there.
  napi_threadsafe_function deliver = nullptr;
  napi_ref on_batch = nullptr;
  napi_ref commands = nullptr;
  napi_ref control = nullptr;
  napi_ref counters = nullptr;
  napi_ref events = nullptr;
  napi_ref slabs = nullptr;
  uint64_t* counter_slots = nullptr;
  size_t counter_slot_count = 0;
  uint8_t* event_bytes = nullptr;
  Telling* telling = nullptr;
  // The engine that gives connections to this one: what it has told of them comes first.
  Instance* beside = nullptr;
  // And the other way round.
  Instance* thread = nullptr;
};

// An ArrayBuffer of the area that plaintext is read from, for the engine's whole life. Null when there is no memory.
napi_value share_slabs(Instance& instance, EngineInit& init);

// Of the plaintext that is being told, `size` bytes at `offset` of the area, for JS to keep: an ArrayBuffer of just them.
// Undefined when they must be copied: too many slabs are kept, or this Node takes no memory of others.
napi_value keep(Instance& instance, size_t offset, size_t size);

// Starts the engine and readies all that tells of it. 0 or an errno.
int run(Instance& instance, EngineInit init, napi_value on_batch);

// Ends the engine; nothing is told afterwards. May be called again.
void halt(Instance& instance);

// At the end of the process: OpenSSL is taken down then, and no thread may use it.
void stop_all();

}  // namespace nz::binding
