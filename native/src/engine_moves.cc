// Connections on their way from one engine to the other or to their end, and what sends them there.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine.h"

namespace nz {

namespace {

// Of what makes a thread busy, the part from which on a connection has to do with it.
constexpr uint64_t kBusyShare = 16;

}  // namespace

bool Engine::hand_over(uint32_t id, Engine& to) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second->is_closing || !to.has_thread_) return false;
  driver_->detach(*found->second);
  detached_.clear();
  forget(*found->second);
  found->second->session.move_to(to.batches_, to.out_pool_, to.now_us_);
  {
    const std::lock_guard lock(to.attached_mutex_);
    to.arrived_.push_back(std::move(found->second));
  }
  connections_.erase(found);
  to.has_attached_.store(true, std::memory_order_release);
  to.wake();
  return true;
}

// A connection that was another engine's.
void Engine::settle(std::unique_ptr<Connection> moved) {
  if (init_.is_inline && connections_.empty()) arm_tick();
  Connection& connection = *moved;
  connections_[connection.session.id()] = std::move(moved);
  connection.is_busy = false;
  connection.moved_bytes = 0;
  connection.moved_since_us = now_us_;
  connection.calm_ticks = 0;
  mark_dirty(connection);
  driver_->add(connection);
  // What the other driver has not written to its end.
  if (!connection.is_closing && connection.sending != nullptr) driver_->send(connection);
}

void Engine::note_moved(Connection& connection, size_t size) {
  if (!init_.is_inline) return;
  turn_bytes_ += size;
  if (now_us_ - moved_since_us_ > init_.busy_us) {
    moved_since_us_ = now_us_;
    moved_bytes_ = 0;
  }
  if (now_us_ - connection.moved_since_us > init_.busy_us) {
    connection.moved_since_us = now_us_;
    connection.moved_bytes = 0;
    connection.is_busy = false;
  }
  moved_bytes_ += size;
  connection.moved_bytes += size;
  // Many that move a little each keep this thread as busy as one that moves much.
  if (moved_bytes_ < init_.busy_bytes || connection.moved_bytes < init_.busy_bytes / kBusyShare) return;
  if (connection.is_busy) return;
  connection.is_busy = true;
  batches_.event(EventType::busy, connection.session.id(), 0, 0, 0);
}

void Engine::note_tick(Connection& connection) {
  if (init_.is_inline || init_.calm_ticks == 0 || connection.is_closing || connection.is_leaving) return;
  Counters& counters = connection.session.counters();
  const uint64_t moved_bytes = counters.get(Counter::received_bytes) + counters.get(Counter::sent_bytes);
  const bool is_calm = moved_bytes - connection.moved_bytes < init_.busy_bytes && connection.sending == nullptr;
  connection.moved_bytes = moved_bytes;
  connection.calm_ticks = is_calm ? connection.calm_ticks + 1 : 0;
  if (connection.calm_ticks >= init_.calm_ticks) batches_.event(EventType::calm, connection.session.id(), 0, 0, 0);
}

// While a send is under way, its buffer is the kernel's: the connection is not so calm, and stays.
void Engine::release(Connection& connection) {
  if (connection.sending != nullptr) {
    connection.calm_ticks = 0;
    return batches_.event(EventType::released, connection.session.id(), 0, 0, 0);
  }
  connection.is_leaving = true;
  driver_->detach(connection);
}

// Connections that wait to be adopted.
void Engine::part() {
  for (const uint32_t id : detached_) {
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second->is_closing) continue;
    forget(*found->second);
    found->second->is_leaving = false;
    {
      const std::lock_guard lock(attached_mutex_);
      released_.push_back(std::move(found->second));
    }
    connections_.erase(found);
    batches_.event(EventType::released, id, 0, 1, 0);
  }
  if (detached_.empty()) return;
  detached_.clear();
  publish();
}

bool Engine::adopt(uint32_t id, Engine& from) {
  std::unique_ptr<Connection> connection;
  {
    const std::lock_guard lock(from.attached_mutex_);
    const auto found = std::find_if(from.released_.begin(), from.released_.end(),
                                    [id](const auto& each) { return each->session.id() == id; });
    if (found == from.released_.end()) return false;
    connection = std::move(*found);
    from.released_.erase(found);
  }
  connection->session.move_to(batches_, out_pool_, now_us_);
  on_woken();
  settle(std::move(connection));
  run_commands_now();
  return true;
}

// Connections the driver has let go of. Not earlier: calls further up may still speak of them.
void Engine::bury() {
  for (const uint32_t id : removed_) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    Connection& connection = *found->second;
    forget(connection);
    out_pool_.give(std::move(connection.sending));
    ::close(connection.fd);
    batches_.event(EventType::closed, id, 0, static_cast<uint32_t>(connection.failure),
                   static_cast<uint32_t>(connection.error));
    connections_.erase(found);
  }
  if (removed_.empty()) return;
  removed_.clear();
  if (!is_stopping_.load(std::memory_order_acquire)) publish();
}

void Engine::forget(Connection& connection) {
  std::erase(dirty_, &connection);
  if (last_ == &connection) last_ = nullptr;
}

}  // namespace nz
