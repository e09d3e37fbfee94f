#include "binding_watch.h"

namespace nz::binding {

LoopWatch* LoopWatch::start(napi_env env, int fd, void (*on_readable)(void* context), void* context) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  auto* watch = new LoopWatch;
  watch->on_readable_ = on_readable;
  watch->context_ = context;
  if (uv_poll_init(loop, &watch->poll_, fd) != 0) {
    delete watch;
    return nullptr;
  }
  watch->poll_.data = watch;
  // The environment ends when the loop has let go of the handle, not before.
  const auto at_end = [](napi_async_cleanup_hook_handle, void* self) { static_cast<LoopWatch*>(self)->stop(); };
  if (napi_add_async_cleanup_hook(env, at_end, watch, &watch->hook_) != napi_ok) watch->hook_ = nullptr;
  const auto on_event = [](uv_poll_t* poll, int, int) {
    auto* self = static_cast<LoopWatch*>(poll->data);
    self->on_readable_(self->context_);
  };
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch->poll_));
  if (watch->hook_ == nullptr || uv_poll_start(&watch->poll_, UV_READABLE, on_event) != 0) {
    watch->stop();
    return nullptr;
  }
  return watch;
}

void LoopWatch::stop() {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  if (uv_is_closing(handle) != 0) return;
  uv_poll_stop(&poll_);
  uv_close(handle, [](uv_handle_t* closed) {
    auto* self = static_cast<LoopWatch*>(closed->data);
    if (self->hook_ != nullptr) napi_remove_async_cleanup_hook(self->hook_);
    delete self;
  });
}

}  // namespace nz::binding
