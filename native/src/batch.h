// What JS is told, gathered: events, and the plaintext they speak of. The I/O thread fills one batch while JS reads
// others; a batch has one owner at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "session.h"
#include "slab_pool.h"

namespace nz {

inline constexpr size_t kMaxEvents = 4'096;
// Batches that wait for JS; with more, nothing is read from any socket.
inline constexpr size_t kMaxWaitingBatches = 4;

// As JS reads it: five words.
struct Event {
  uint32_t type;
  uint32_t session;
  uint32_t stream;
  uint32_t a;
  uint32_t b;
};
static_assert(sizeof(Event) == 20);

struct Batch {
  std::vector<Event> events;
  Slab slab;
  size_t used = 0;
};

// The I/O thread's end, and the queue between the two.
class BatchWriter final : public SessionSink {
 public:
  explicit BatchWriter(std::shared_ptr<SlabPool> pool)
      : pool_(pool != nullptr ? std::move(pool) : std::make_shared<SlabPool>()) {}

  uint8_t* reserve(size_t size) override;
  bool has_in_front(size_t size) const override { return current_.used >= size; }
  void data(uint32_t session, uint32_t stream, uint8_t* bytes, size_t size, bool may_merge) override;
  void event(EventType type, uint32_t session, uint32_t stream, uint32_t a, uint32_t b) override;

  // Makes what was gathered readable. True when JS has to be called for it.
  bool publish();
  // Whether JS is so far behind that sockets should wait.
  bool is_full() const;
  size_t waiting() const;

  // The JS thread's end. `has_more`: another call is due. False when nothing waits.
  bool take(Batch& batch, bool& has_more);
  const std::shared_ptr<SlabPool>& pool() { return pool_; }

 private:
  void enqueue();

  const std::shared_ptr<SlabPool> pool_;
  Batch current_;
  mutable std::mutex mutex_;
  std::deque<Batch> waiting_;
  bool is_called_ = false;
};

}  // namespace nz
