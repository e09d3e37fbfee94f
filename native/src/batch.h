// What JS is told, gathered: events, and the plaintext they speak of. The I/O thread fills one batch while JS reads
// others; a batch has one owner at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "session.h"

namespace nz {

// Plaintext of one callback.
inline constexpr size_t kSlabBytes = 512 * 1024;
inline constexpr size_t kMaxEvents = 4'096;
// Batches that wait for JS; with more, nothing is read from any socket.
inline constexpr size_t kMaxWaitingBatches = 4;

// Blocks of kSlabBytes. Outlives the engine for as long as JS holds one.
class SlabPool {
 public:
  std::unique_ptr<uint8_t[]> take();
  void give(std::unique_ptr<uint8_t[]> slab);
  // Frees half of those that wait for use.
  void trim();
  // Slabs that are neither here nor freed.
  size_t in_use() const;

 private:
  static constexpr size_t kMaxSpare = 32;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<uint8_t[]>> spare_;
  size_t in_use_ = 0;
};

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
  std::unique_ptr<uint8_t[]> slab;
  size_t used = 0;
};

// The I/O thread's end, and the queue between the two.
class BatchWriter final : public SessionSink {
 public:
  explicit BatchWriter(std::shared_ptr<SlabPool> pool) : pool_(std::move(pool)) {}

  uint8_t* reserve(size_t size) override;
  void data(uint32_t session, uint32_t stream, uint8_t* bytes, size_t size, bool may_merge) override;
  void event(EventType type, uint32_t session, uint32_t stream, uint32_t a, uint32_t b) override;

  // Makes what was gathered readable. True when JS has to be called for it.
  bool publish();
  // Whether JS is so far behind that sockets should wait.
  bool is_full() const;

  // The JS thread's end. `has_more`: another call is due. False when nothing waits.
  bool take(Batch& batch, bool& has_more);
  const std::shared_ptr<SlabPool>& pool() const { return pool_; }

 private:
  void enqueue();

  const std::shared_ptr<SlabPool> pool_;
  Batch current_;
  mutable std::mutex mutex_;
  std::deque<Batch> waiting_;
  bool is_called_ = false;
};

}  // namespace nz
