#include "binding_instance.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace nz::binding {

namespace {

// Batches of a turn without a thread, between which JS does other things.
constexpr size_t kBatchesPerTurn = 4;

// Engines with a thread, for the end of the process.
std::mutex g_running_mutex;
std::vector<Engine*>& running() {
  static auto* engines = new std::vector<Engine*>;
  return *engines;
}

// What did not fit the shared area gets a buffer of its own, which JS may have for good. False when there is none.
bool copy_overflow(napi_env env, const Batch& batch, napi_value& buffer) {
  if (batch.slab == nullptr || batch.slab.get_deleter().is_shared) return napi_get_undefined(env, &buffer) == napi_ok;
  void* copy = nullptr;
  if (napi_create_arraybuffer(env, batch.used, &copy, &buffer) != napi_ok) return false;
  std::memcpy(copy, batch.slab.get(), batch.used);
  return true;
}

// Tells one batch. Within a scope that runs promises at its end, or with one of its own. False when nothing waited, or
// when `onBatch` has stopped the engine.
bool tell(Instance& instance, bool has_scope, bool& has_more) {
  napi_env env = instance.env;
  Telling telling;
  telling.pool = instance.engine->slabs();
  Batch& batch = telling.batch;
  if (!instance.engine->take(batch, has_more)) return false;
  napi_value global = nullptr;
  napi_value callback = nullptr;
  napi_value overflow = nullptr;
  napi_get_global(env, &global);
  const bool has_bytes = napi_get_reference_value(env, instance.on_batch, &callback) == napi_ok &&
                         copy_overflow(env, batch, overflow);
  if (batch.slab != nullptr && batch.slab.get_deleter().is_shared) telling.bytes = batch.slab.get();
  const double offset = telling.bytes == nullptr ? 0 : static_cast<double>(telling.bytes - telling.pool->area());
  for (size_t at = 0; has_bytes && at < batch.events.size(); at += kMaxEvents) {
    const size_t count = std::min(kMaxEvents, batch.events.size() - at);
    std::memcpy(instance.event_bytes, batch.events.data() + at, count * sizeof(Event));
    napi_value arguments[] = {number(env, static_cast<double>(count)), number(env, offset), overflow};
    instance.telling = &telling;
    const napi_status status =
        has_scope ? napi_call_function(env, global, callback, 3, arguments, nullptr)
                  : napi_make_callback(env, nullptr, global, callback, 3, arguments, nullptr);
    instance.telling = nullptr;
    // `onBatch` may have stopped the engine.
    if (instance.engine == nullptr) return false;
    if (status != napi_ok) break;
  }
  return true;
}

// An exception that nobody caught is the process's, as from any other callback.
void pass_on_exception(napi_env env) {
  bool is_pending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(env, &is_pending) != napi_ok || !is_pending) return;
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
}

// On the JS thread, called by the loop: one batch a call, so that promises run between two of them.
void deliver(napi_env env, napi_value callback, void* context, void*) {
  auto& instance = *static_cast<Instance*>(context);
  if (env == nullptr || callback == nullptr || instance.engine == nullptr) return;
  bool has_more = false;
  if (Instance* beside = instance.beside; beside != nullptr) {
    size_t waiting = beside->engine->waiting_batches();
    while (waiting > 0 && tell(*beside, true, has_more)) waiting -= 1;
    if (instance.engine == nullptr) return;
  }
  if (tell(instance, true, has_more) && has_more)
    napi_call_threadsafe_function(instance.deliver, nullptr, napi_tsfn_nonblocking);
}

void notify(void* context) {
  napi_call_threadsafe_function(static_cast<Instance*>(context)->deliver, nullptr, napi_tsfn_nonblocking);
}

// Sockets of an engine without a thread have something. What it has told goes first.
void on_readable(void* context) {
  auto& instance = *static_cast<Instance*>(context);
  if (instance.engine == nullptr) return;
  if (instance.engine->waiting_batches() == 0) instance.engine->run_sockets();
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(instance.env, &scope) != napi_ok) return;
  bool has_more = true;
  for (size_t told = 0; has_more && told < kBatchesPerTurn; ++told) {
    const bool is_told = tell(instance, false, has_more);
    pass_on_exception(instance.env);
    if (!is_told || instance.engine == nullptr) break;
  }
  if (has_more && instance.engine != nullptr) notify(&instance);
  napi_close_handle_scope(instance.env, scope);
}

}  // namespace

Telling::~Telling() {
  if (kept != nullptr) kept->drop_piece();
  pool->give(std::move(batch.slab));
}

napi_value share_slabs(Instance& instance, EngineInit& init) {
  napi_env env = instance.env;
  napi_value area = nullptr;
  if ((init.slabs = SlabPool::mapped()) != nullptr) {
    auto* held = new std::shared_ptr<SlabPool>(init.slabs);
    const auto let_go = [](napi_env, void*, void* pool) { delete static_cast<std::shared_ptr<SlabPool>*>(pool); };
    const napi_status status =
        napi_create_external_arraybuffer(env, init.slabs->area(), kSlabAreaBytes, let_go, held, &area);
    if (status == napi_ok) return area;
    delete held;
  }
  // This Node takes no memory of others: its own then, of which nothing can be kept.
  void* bytes = nullptr;
  if (napi_create_arraybuffer(env, kSlabAreaBytes, &bytes, &area) != napi_ok ||
      napi_create_reference(env, area, 1, &instance.slabs) != napi_ok)
    return nullptr;
  init.slabs = std::make_shared<SlabPool>(static_cast<uint8_t*>(bytes));
  return area;
}

napi_value keep(Instance& instance, size_t offset, size_t size) {
  napi_value piece = nullptr;
  napi_get_undefined(instance.env, &piece);
  Telling* telling = instance.telling;
  if (telling == nullptr || telling->bytes == nullptr || size == 0) return piece;
  const auto start = static_cast<size_t>(telling->bytes - telling->pool->area());
  if (offset < start || offset - start > telling->batch.used || size > telling->batch.used - (offset - start))
    return piece;
  if (telling->kept == nullptr) telling->kept = KeptSlab::keep(telling->pool, telling->batch.slab);
  if (telling->kept == nullptr) return piece;
  telling->kept->add_piece();
  const auto let_go = [](napi_env, void*, void* kept) { static_cast<KeptSlab*>(kept)->drop_piece(); };
  const napi_status status = napi_create_external_arraybuffer(instance.env, telling->bytes + (offset - start), size,
                                                              let_go, telling->kept, &piece);
  if (status != napi_ok) {
    telling->kept->drop_piece();
    napi_get_undefined(instance.env, &piece);
  }
  return piece;
}

int run(Instance& instance, EngineInit init, napi_value on_batch) {
  napi_env env = instance.env;
  init.notify = notify;
  init.context = &instance;
  napi_value name = nullptr;
  napi_create_string_utf8(env, "nzcore", NAPI_AUTO_LENGTH, &name);
  if (napi_create_reference(env, on_batch, 1, &instance.on_batch) != napi_ok ||
      napi_create_threadsafe_function(env, on_batch, nullptr, name, 0, 1, nullptr, nullptr, &instance, deliver,
                                      &instance.deliver) != napi_ok) {
    return EINVAL;
  }
  // An engine without connections keeps no process alive.
  napi_unref_threadsafe_function(env, instance.deliver);
  int error = 0;
  instance.engine = Engine::create(init, error);
  if (instance.engine == nullptr) {
    napi_release_threadsafe_function(instance.deliver, napi_tsfn_abort);
    return error;
  }
  if (init.is_inline) {
    instance.watch = LoopWatch::start(env, instance.engine->watch_fd(), on_readable, &instance);
    if (instance.watch != nullptr) return 0;
    halt(instance);
    return EAGAIN;
  }
  const std::lock_guard lock(g_running_mutex);
  running().push_back(instance.engine.get());
  return 0;
}

void halt(Instance& instance) {
  if (instance.engine == nullptr) return;
  if (instance.watch != nullptr) std::exchange(instance.watch, nullptr)->stop();
  {
    const std::lock_guard lock(g_running_mutex);
    std::erase(running(), instance.engine.get());
    instance.engine->stop();
  }
  instance.engine = nullptr;
  if (instance.beside != nullptr) instance.beside->thread = nullptr;
  if (instance.thread != nullptr) instance.thread->beside = nullptr;
  instance.beside = instance.thread = nullptr;
  napi_release_threadsafe_function(instance.deliver, napi_tsfn_abort);
  for (napi_ref* reference : {&instance.on_batch, &instance.commands, &instance.control, &instance.counters,
                              &instance.events, &instance.slabs}) {
    if (*reference != nullptr) napi_delete_reference(instance.env, *reference);
    *reference = nullptr;
  }
}

void stop_all() {
  const std::lock_guard lock(g_running_mutex);
  for (Engine* engine : running()) engine->stop();
}

}  // namespace nz::binding
