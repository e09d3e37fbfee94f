// The engine without a thread of its own: turns on the thread of JS.
#include <errno.h>
#include <sys/timerfd.h>

#include "engine.h"

namespace nz {

int Engine::start_inline() {
  driver_ = make_epoll_driver(*this, Pace::small);
  if (const int error = driver_->init(wake_fd_); error != 0) {
    driver_ = nullptr;
    return error;
  }
  backend_ = driver_->backend();
  on_woken();
  next_tick_us_ = now_us_ + kTickUs;
  next_ping_us_ = now_us_ + uint64_t{init_.keep_alive_ms} * 1'000;
  // Every command rings the bell.
  control_.store(Control::is_sleeping, 1);
  return 0;
}

bool Engine::run_sockets() {
  turn_bytes_ = 0;
  is_quiet_ = true;
  driver_->wait(0);
  run_turn();
  is_quiet_ = false;
  return batches_.waiting() > 0;
}

void Engine::run_commands_now() {
  on_woken();
  run_turn();
  control_.store(Control::is_sleeping, 1);
}

// Once, for the next tick; none while there is no connection.
void Engine::arm_tick() {
  const uint64_t wait_us = next_tick_us_ > now_us_ ? next_tick_us_ - now_us_ : 1;
  itimerspec time = {};
  time.it_value.tv_sec = static_cast<time_t>(wait_us / 1'000'000);
  time.it_value.tv_nsec = static_cast<long>(wait_us % 1'000'000) * 1'000;
  timerfd_settime(wake_fd_, 0, &time, nullptr);
}

}  // namespace nz
