// A descriptor watched by the event loop of a Node environment.
#pragma once

#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>

namespace nz::binding {

// Keeps no process alive. Ends with `stop`, or with the environment; frees itself then, in a later turn of the loop.
class LoopWatch {
 public:
  // `on_readable` is called again and again while the descriptor is readable. Null when the loop refuses.
  static LoopWatch* start(napi_env env, int fd, void (*on_readable)(void* context), void* context);
  // Nothing is called afterwards, and the descriptor may be closed.
  void stop();

 private:
  LoopWatch() = default;

  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  void (*on_readable_)(void* context) = nullptr;
  void* context_ = nullptr;
};

}  // namespace nz::binding
