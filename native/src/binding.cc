// The engine for Node, by Node-API alone, so that one binary serves every version of Node: start and startInline,
// duplicate, release, attach, promote, adopt, wake, hold, stop, keep; and openOnSharedPort, which needs no engine. No C++
// exception; JS is called by binding_instance.cc alone, and by none of these.
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "binding_instance.h"
#include "shared_port.h"

namespace {

using namespace nz::binding;

// Run by the environment, before it ends.
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
  if (!array_buffer(env, options, "commands", commands, &instance.commands) ||
      !array_buffer(env, options, "control", control, &instance.control) ||
      !array_buffer(env, options, "counters", counters, &instance.counters) ||
      !array_buffer(env, options, "events", events, &instance.events)) {
    return false;
  }
  const bool is_power_of_two = (commands.size & (commands.size - 1)) == 0;
  if (commands.size < 64 * 1024 || !is_power_of_two ||
      control.size < static_cast<size_t>(nz::Control::kCount) * sizeof(uint32_t) ||
      events.size < nz::kMaxEvents * sizeof(nz::Event)) {
    return false;
  }
  init.commands = commands.data;
  init.commands_bytes = commands.size;
  init.control = reinterpret_cast<uint32_t*>(control.data);
  instance.counter_slots = reinterpret_cast<uint64_t*>(counters.data);
  instance.counter_slot_count = counters.size / nz::kCounterSlotBytes;
  instance.event_bytes = events.data;
  return true;
}

// Of `start` and `startInline`. A negative `backend` is an errno.
napi_value started(napi_env env, napi_value options, std::unique_ptr<Instance> instance, nz::EngineInit init) {
  instance->env = env;
  init.keep_alive_ms = static_cast<uint32_t>(number_of(env, options, "keepAliveMs"));
  napi_value on_batch = nullptr;
  napi_get_named_property(env, options, "onBatch", &on_batch);
  const napi_value slabs = share_slabs(*instance, init);
  if (slabs == nullptr) return fail(env, "there is no memory for received bytes");
  napi_value result = nullptr;
  napi_create_object(env, &result);
  if (const int error = run(*instance, std::move(init), on_batch); error != 0) {
    napi_set_named_property(env, result, "backend", number(env, -error));
    return result;
  }
  napi_set_named_property(env, result, "backend", number(env, static_cast<double>(instance->engine->backend())));
  napi_set_named_property(env, result, "uringError", number(env, instance->engine->uring_error()));
  Instance* owned = instance.release();
  if (owned->thread != nullptr) owned->thread->beside = owned;
  napi_value handle = nullptr;
  napi_add_env_cleanup_hook(env, at_cleanup, owned);
  napi_create_external(env, owned, free_instance, nullptr, &handle);
  napi_set_named_property(env, result, "handle", handle);
  napi_set_named_property(env, result, "slabs", slabs);
  return result;
}

// start({ commands, control, counters, events: ArrayBuffer, onBatch, mayUseUring, windowBudgetBytes, keepAliveMs,
// busyBytes, calmTicks }) → { handle, backend, uringError, slabs: ArrayBuffer }.
napi_value start(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value options = nullptr;
  if (napi_get_cb_info(env, info, &count, &options, nullptr, nullptr) != napi_ok || count != 1)
    return fail(env, "start takes its options");
  auto instance = std::make_unique<Instance>();
  nz::EngineInit init;
  if (!read_areas(env, options, *instance, init)) return fail(env, "a shared area is missing or too small");
  init.may_use_uring = bool_of(env, options, "mayUseUring");
  init.window_budget_bytes = static_cast<uint64_t>(number_of(env, options, "windowBudgetBytes"));
  init.busy_bytes = static_cast<uint64_t>(number_of(env, options, "busyBytes"));
  init.calm_ticks = static_cast<uint32_t>(number_of(env, options, "calmTicks"));
  return started(env, options, std::move(instance), std::move(init));
}

// startInline({ thread: handle, commands, control, counters, events, onBatch, keepAliveMs, busyBytes, busyMs }) →
// { handle, backend, slabs }: an engine without a thread, whose connections may be given to that of `thread`.
napi_value start_inline(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value options = nullptr;
  napi_value handle = nullptr;
  if (napi_get_cb_info(env, info, &count, &options, nullptr, nullptr) != napi_ok || count != 1 ||
      napi_get_named_property(env, options, "thread", &handle) != napi_ok)
    return fail(env, "startInline takes its options");
  Instance* thread = instance_of(env, handle);
  if (thread == nullptr || thread->beside != nullptr) return fail(env, "startInline takes a running engine");
  auto instance = std::make_unique<Instance>();
  nz::EngineInit init;
  if (!read_areas(env, options, *instance, init)) return fail(env, "a shared area is missing or too small");
  instance->thread = thread;
  init.is_inline = true;
  init.budget = thread->engine->budget();
  init.busy_bytes = static_cast<uint64_t>(number_of(env, options, "busyBytes"));
  init.busy_us = static_cast<uint64_t>(number_of(env, options, "busyMs")) * 1'000;
  return started(env, options, std::move(instance), std::move(init));
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

// Two engines and the number of a connection.
bool read_move(napi_env env, napi_callback_info info, Instance*& first, Instance*& second, uint32_t& id) {
  size_t count = 3;
  napi_value arguments[3] = {};
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count != 3) return false;
  first = instance_of(env, arguments[0]);
  second = instance_of(env, arguments[1]);
  return first != nullptr && second != nullptr && napi_get_value_uint32(env, arguments[2], &id) == napi_ok;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

// promote(inline, thread, id) → whether the connection is the thread's now. What was written for it has been run before.
napi_value promote(napi_env env, napi_callback_info info) {
  Instance* from = nullptr;
  Instance* to = nullptr;
  uint32_t id = 0;
  return boolean(env, read_move(env, info, from, to, id) && from->engine->hand_over(id, *to->engine));
}

// adopt(inline, thread, id) → whether the connection, which `thread` has released, is the inline engine's now.
napi_value adopt(napi_env env, napi_callback_info info) {
  Instance* to = nullptr;
  Instance* from = nullptr;
  uint32_t id = 0;
  return boolean(env, read_move(env, info, to, from, id) && to->engine->adopt(id, *from->engine));
}

// wake(handle): commands were written while the thread slept. Without a thread they are run before it returns.
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

// keep(handle, offset, size), while `onBatch` runs → an ArrayBuffer of these bytes of the area, JS's to keep; or undefined.
napi_value keep_piece(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3] = {};
  uint32_t offset = 0;
  uint32_t size = 0;
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count != 3 ||
      napi_get_value_uint32(env, arguments[1], &offset) != napi_ok ||
      napi_get_value_uint32(env, arguments[2], &size) != napi_ok)
    return fail(env, "keep takes a handle, an offset and a size");
  Instance* instance = instance_of(env, arguments[0]);
  return instance == nullptr ? nullptr : keep(*instance, offset, size);
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
  set_function(env, exports, "startInline", start_inline);
  set_function(env, exports, "duplicate", duplicate);
  set_function(env, exports, "release", release);
  set_function(env, exports, "attach", attach);
  set_function(env, exports, "promote", promote);
  set_function(env, exports, "adopt", adopt);
  set_function(env, exports, "wake", wake);
  set_function(env, exports, "hold", hold);
  set_function(env, exports, "stop", stop);
  set_function(env, exports, "keep", keep_piece);
  set_function(env, exports, "openOnSharedPort", open_on_shared_port);
  return exports;
}
