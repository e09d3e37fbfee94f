// Connections on their way from one engine to the other, and what sends them there.
#include <algorithm>
#include <utility>

#include "engine.h"

namespace nz {

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
  if (now_us_ - connection.moved_since_us > init_.busy_us) {
    connection.moved_since_us = now_us_;
    connection.moved_bytes = 0;
    connection.is_busy = false;
  }
  connection.moved_bytes += size;
  if (connection.moved_bytes < init_.busy_bytes || connection.is_busy) return;
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

}  // namespace nz
