// The engine for Node, by Node-API alone, so that one binary serves every version of Node. Seven functions: start,
// duplicate, release, attach, wake, hold, stop; and openOnSharedPort, which needs no engine. No C++ exception and no call into JS happens anywhere but in `deliver`.
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine.h"
#include "shared_port.h"

namespace {

using nz::Batch;
using nz::Engine;

// An engine with what it shares with JS. The environment's cleanup hook frees it, or `stop`.
struct Instance {
  napi_env env = nullptr;
  std::unique_ptr<Engine> engine;
  napi_threadsafe_function deliver = nullptr;
  napi_ref commands = nullptr;
  napi_ref control = nullptr;
  napi_ref counters = nullptr;
  napi_ref events = nullptr;
  napi_ref slabs = nullptr;
  uint64_t* counter_slots = nullptr;
  size_t counter_slot_count = 0;
  uint8_t* event_bytes = nullptr;
  const uint8_t* slab_bytes = nullptr;
};

// Engines that run, for the end of the process: OpenSSL is taken down at exit, and no thread may use it then.
std::mutex g_running_mutex;
std::vector<Engine*>& running() {
  static auto* engines = new std::vector<Engine*>;
  return *engines;
}

void stop_all() {
  const std::lock_guard lock(g_running_mutex);
  for (Engine* engine : running()) engine->stop();
}

void forget(Engine* engine) {
  const std::lock_guard lock(g_running_mutex);
  std::erase(running(), engine);
  engine->stop();
}

napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

struct Bytes {
  uint8_t* data = nullptr;
  size_t size = 0;
};

bool array_buffer(napi_env env, napi_value object, const char* name, Bytes& bytes, napi_ref* reference) {
  napi_value value = nullptr;
  bool is_buffer = false;
  void* data = nullptr;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return false;
  if (napi_is_arraybuffer(env, value, &is_buffer) != napi_ok || !is_buffer) return false;
  if (napi_get_arraybuffer_info(env, value, &data, &bytes.size) != napi_ok) return false;
  bytes.data = static_cast<uint8_t*>(data);
  return napi_create_reference(env, value, 1, reference) == napi_ok;
}

double number_of(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  double result = 0;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_double(env, value, &result);
  return result;
}

bool bool_of(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  bool result = false;
  if (napi_get_named_property(env, object, name, &value) == napi_ok) napi_get_value_bool(env, value, &result);
  return result;
}

bool bytes_of(napi_env env, napi_value object, const char* name, Bytes& bytes) {
  napi_value value = nullptr;
  napi_typedarray_type type = napi_uint8_array;
  void* data = nullptr;
  bool is_array = false;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return false;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  if (napi_get_typedarray_info(env, value, &type, &bytes.size, &data, nullptr, nullptr) != napi_ok) return false;
  bytes.data = static_cast<uint8_t*>(data);
  return type == napi_uint8_array;
}

// What did not fit the shared area gets a buffer of its own, which JS may have for good. False when there is none.
bool copy_overflow(napi_env env, const Batch& batch, napi_value& buffer) {
  if (batch.slab == nullptr || batch.slab.get_deleter().is_shared) return napi_get_undefined(env, &buffer) == napi_ok;
  void* copy = nullptr;
  if (napi_create_arraybuffer(env, batch.used, &copy, &buffer) != napi_ok) return false;
  std::memcpy(copy, batch.slab.get(), batch.used);
  return true;
}

// On the JS thread: one batch a call, so that promises run between two of them.
void deliver(napi_env env, napi_value callback, void* context, void*) {
  auto& instance = *static_cast<Instance*>(context);
  if (env == nullptr || callback == nullptr || instance.engine == nullptr) return;
  Batch batch;
  bool has_more = false;
  if (!instance.engine->take(batch, has_more)) return;
  napi_value global = nullptr;
  napi_get_global(env, &global);
  napi_value overflow = nullptr;
  const bool has_bytes = copy_overflow(env, batch, overflow);
  const bool is_shared = batch.slab != nullptr && batch.slab.get_deleter().is_shared;
  const double offset = is_shared ? static_cast<double>(batch.slab.get() - instance.slab_bytes) : 0;
  for (size_t at = 0; has_bytes && at < batch.events.size(); at += nz::kMaxEvents) {
    const size_t count = std::min(nz::kMaxEvents, batch.events.size() - at);
    std::memcpy(instance.event_bytes, batch.events.data() + at, count * sizeof(nz::Event));
    napi_value arguments[] = {number(env, static_cast<double>(count)), number(env, offset), overflow};
    if (napi_call_function(env, global, callback, 3, arguments, nullptr) != napi_ok) break;
    // `onBatch` may have stopped the engine.
    if (instance.engine == nullptr) return;
  }
  instance.engine->slabs().give(std::move(batch.slab));
  if (has_more) napi_call_threadsafe_function(instance.deliver, nullptr, napi_tsfn_nonblocking);
}

void notify(void* context) {
  napi_call_threadsafe_function(static_cast<Instance*>(context)->deliver, nullptr, napi_tsfn_nonblocking);
}

void halt(Instance& instance) {
  if (instance.engine == nullptr) return;
  forget(instance.engine.get());
  instance.engine = nullptr;
  napi_release_threadsafe_function(instance.deliver, napi_tsfn_abort);
  for (napi_ref* reference :
       {&instance.commands, &instance.control, &instance.counters, &instance.events, &instance.slabs}) {
    if (*reference != nullptr) napi_delete_reference(instance.env, *reference);
    *reference = nullptr;
  }
}

void at_cleanup(void* context) { halt(*static_cast<Instance*>(context)); }

// The external's: runs when JS has let go of the handle, or at the end of the environment.
void free_instance(napi_env env, void* data, void*) {
  auto* instance = static_cast<Instance*>(data);
  napi_remove_env_cleanup_hook(env, at_cleanup, instance);
  halt(*instance);
  delete instance;
}

Instance* instance_of(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok) return nullptr;
  auto* instance = static_cast<Instance*>(data);
  return instance->engine == nullptr ? nullptr : instance;
}

Instance* only_instance(napi_env env, napi_callback_info info, napi_value* rest = nullptr) {
  size_t count = 2;
  napi_value arguments[2] = {};
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok) return nullptr;
  if (rest != nullptr) *rest = arguments[1];
  return instance_of(env, arguments[0]);
}

bool read_areas(napi_env env, napi_value options, Instance& instance, nz::EngineInit& init) {
  Bytes commands;
  Bytes control;
  Bytes counters;
  Bytes events;
  Bytes slabs;
  if (!array_buffer(env, options, "commands", commands, &instance.commands) ||
      !array_buffer(env, options, "control", control, &instance.control) ||
      !array_buffer(env, options, "counters", counters, &instance.counters) ||
      !array_buffer(env, options, "events", events, &instance.events) ||
      !array_buffer(env, options, "slabs", slabs, &instance.slabs)) {
    return false;
  }
  const bool is_power_of_two = (commands.size & (commands.size - 1)) == 0;
  if (commands.size < 64 * 1024 || !is_power_of_two ||
      control.size < static_cast<size_t>(nz::Control::kCount) * sizeof(uint32_t) ||
      events.size < nz::kMaxEvents * sizeof(nz::Event) || 
      slabs.size < nz::kSharedSlabs * nz::kSlabBytes) {
    return false;
  }
  init.commands = commands.data;
  init.commands_bytes = commands.size;
  init.control = reinterpret_cast<uint32_t*>(control.data);
  instance.counter_slots = reinterpret_cast<uint64_t*>(counters.data);
  instance.counter_slot_count = counters.size / nz::kCounterSlotBytes;
  instance.event_bytes = events.data;
  instance.slab_bytes = slabs.data;
  init.slabs = slabs.data;
  return true;
}

// start({ commands, control, counters, events, slabs: ArrayBuffer, onBatch, mayUseUring, windowBudgetBytes,
// keepAliveMs }) → { handle, backend, uringError }. A negative `backend` is an errno.
napi_value start(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value options = nullptr;
  if (napi_get_cb_info(env, info, &count, &options, nullptr, nullptr) != napi_ok || count != 1)
    return fail(env, "start takes its options");
  auto instance = std::make_unique<Instance>();
  instance->env = env;
  nz::EngineInit init;
  if (!read_areas(env, options, *instance, init)) return fail(env, "a shared area is missing or too small");
  init.may_use_uring = bool_of(env, options, "mayUseUring");
  init.window_budget_bytes = static_cast<uint64_t>(number_of(env, options, "windowBudgetBytes"));
  init.keep_alive_ms = static_cast<uint32_t>(number_of(env, options, "keepAliveMs"));
  init.notify = notify;
  init.context = instance.get();

  napi_value on_batch = nullptr;
  napi_value name = nullptr;
  napi_get_named_property(env, options, "onBatch", &on_batch);
  napi_create_string_utf8(env, "nzcore", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, on_batch, nullptr, name, 0, 1, nullptr, nullptr, instance.get(), deliver,
                                      &instance->deliver) != napi_ok) {
    return fail(env, "onBatch is no function");
  }
  // An engine without connections keeps no process alive.
  napi_unref_threadsafe_function(env, instance->deliver);

  int error = 0;
  instance->engine = Engine::create(init, error);
  napi_value result = nullptr;
  napi_create_object(env, &result);
  if (instance->engine == nullptr) {
    napi_release_threadsafe_function(instance->deliver, napi_tsfn_abort);
    napi_set_named_property(env, result, "backend", number(env, -error));
    return result;
  }
  {
    const std::lock_guard lock(g_running_mutex);
    running().push_back(instance->engine.get());
  }
  napi_set_named_property(env, result, "backend", number(env, static_cast<double>(instance->engine->backend())));
  napi_set_named_property(env, result, "uringError", number(env, instance->engine->uring_error()));
  Instance* owned = instance.release();
  napi_value handle = nullptr;
  napi_add_env_cleanup_hook(env, at_cleanup, owned);
  napi_create_external(env, owned, free_instance, nullptr, &handle);
  napi_set_named_property(env, result, "handle", handle);
  return result;
}

bool read_key(napi_env env, napi_value options, const char* name, const char* count_name,
              nz::RecordCipher::Direction direction, nz::RecordCipher& cipher) {
  Bytes key;
  if (!bytes_of(env, options, name, key) || key.size != nz::kKeyBytes) return false;
  const auto count = static_cast<uint64_t>(number_of(env, options, count_name));
  const auto max_records = static_cast<uint64_t>(number_of(env, options, "maxRecords"));
  return cipher.init(direction, std::span<const uint8_t, nz::kKeyBytes>(key.data, nz::kKeyBytes), count, max_records);
}

// duplicate(handle, fd) → a descriptor of our own for the same socket, or a negative errno. Whoever closes the other one
// closes none of ours.
napi_value duplicate(napi_env env, napi_callback_info info) {
  napi_value value = nullptr;
  int32_t fd = -1;
  if (only_instance(env, info, &value) == nullptr) return number(env, -ESHUTDOWN);
  if (napi_get_value_int32(env, value, &fd) != napi_ok) return number(env, -EINVAL);
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return number(env, own < 0 ? -errno : own);
}

// release(fd): closes a duplicate that is not attached after all.
napi_value release(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  int32_t fd = -1;
  if (napi_get_cb_info(env, info, &count, &value, nullptr, nullptr) == napi_ok &&
      napi_get_value_int32(env, value, &fd) == napi_ok && fd >= 0) {
    close(fd);
  }
  return nullptr;
}

// Closes a descriptor that nobody took.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// attach(handle, { id, fd, isClient, sendKey, sendCount, receiveKey, receiveCount, maxRecords, sealed, plaintext,
// counterSlot, mergesMessages,
// maxInboundStreams, maxBacklog, maxWindowBytes }) → 0 or an errno. `fd` is taken in any case.
napi_value attach(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2] = {};
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count != 2)
    return fail(env, "attach takes a handle and options");
  const napi_value options = arguments[1];
  OwnedFd fd(static_cast<int>(number_of(env, options, "fd")));
  Instance* instance = instance_of(env, arguments[0]);
  if (instance == nullptr) return number(env, ESHUTDOWN);
  nz::AttachInit init;
  nz::Session::Init& session = init.session;
  Bytes sealed;
  Bytes plaintext;
  if (!read_key(env, options, "sendKey", "sendCount", nz::RecordCipher::Direction::seal, session.sealer) ||
      !read_key(env, options, "receiveKey", "receiveCount", nz::RecordCipher::Direction::open, session.opener) ||
      !bytes_of(env, options, "sealed", sealed) || !bytes_of(env, options, "plaintext", plaintext)) {
    return number(env, EINVAL);
  }
  const auto slot = static_cast<size_t>(number_of(env, options, "counterSlot"));
  if (slot < instance->counter_slot_count) {
    session.counters = instance->counter_slots + slot * (nz::kCounterSlotBytes / sizeof(uint64_t));
    std::memset(session.counters, 0, nz::kCounterSlotBytes);
  }
  session.id = static_cast<uint32_t>(number_of(env, options, "id"));
  session.is_client = bool_of(env, options, "isClient");
  session.limits = {static_cast<uint32_t>(number_of(env, options, "maxInboundStreams")),
                    static_cast<uint32_t>(number_of(env, options, "maxBacklog")),
                    static_cast<uint32_t>(number_of(env, options, "maxWindowBytes"))};
  init.sealed.assign(sealed.data, sealed.data + sealed.size);
  init.plaintext.assign(plaintext.data, plaintext.data + plaintext.size);
  session.merges_messages = bool_of(env, options, "mergesMessages");
  init.fd = fd.release();
  instance->engine->attach(std::move(init));
  return number(env, 0);
}

// wake(handle): commands were written while the thread slept.
napi_value wake(napi_env env, napi_callback_info info) {
  if (Instance* instance = only_instance(env, info); instance != nullptr) instance->engine->wake();
  return nullptr;
}

// hold(handle, isHeld): whether the engine keeps the process alive, as a socket that is read from does.
napi_value hold(napi_env env, napi_callback_info info) {
  napi_value value = nullptr;
  Instance* instance = only_instance(env, info, &value);
  bool is_held = false;
  if (instance == nullptr || napi_get_value_bool(env, value, &is_held) != napi_ok) return nullptr;
  if (is_held) {
    napi_ref_threadsafe_function(env, instance->deliver);
  } else {
    napi_unref_threadsafe_function(env, instance->deliver);
  }
  return nullptr;
}

// stop(handle): cuts every connection and ends the thread; nothing is delivered afterwards.
napi_value stop(napi_env env, napi_callback_info info) {
  if (Instance* instance = only_instance(env, info); instance != nullptr) halt(*instance);
  return nullptr;
}

// openOnSharedPort(address, port) → a descriptor, the caller's, or a negative errno.
napi_value open_on_shared_port(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2] = {};
  char address[64] = {};
  size_t length = 0;
  uint32_t port = 0;
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count != 2 ||
      napi_get_value_string_utf8(env, arguments[0], address, sizeof address, &length) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &port) != napi_ok || port > 0xffff)
    return fail(env, "openOnSharedPort takes an address and a port");
  return number(env, nz::open_on_shared_port(address, static_cast<uint16_t>(port)));
}

void set_function(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace

NAPI_MODULE_INIT() {
  static std::once_flag once;
  // After OpenSSL's own, so that ours runs first.
  std::call_once(once, [] {
    OPENSSL_init_crypto(0, nullptr);
    atexit(stop_all);
  });
  set_function(env, exports, "start", start);
  set_function(env, exports, "duplicate", duplicate);
  set_function(env, exports, "release", release);
  set_function(env, exports, "attach", attach);
  set_function(env, exports, "wake", wake);
  set_function(env, exports, "hold", hold);
  set_function(env, exports, "stop", stop);
  set_function(env, exports, "openOnSharedPort", open_on_shared_port);
  return exports;
}
