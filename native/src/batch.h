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

// Slabs in the area that JS shares: four that wait, one that is filled, one that is read, two for what cannot wait.
inline constexpr size_t kSharedSlabs = 8;

struct SlabDeleter {
  bool is_shared = false;
  void operator()(uint8_t* bytes) const {
    if (!is_shared) delete[] bytes;
  }
};
// kSlabBytes, of the shared area or of the heap.
using Slab = std::unique_ptr<uint8_t[], SlabDeleter>;

class SlabPool {
 public:
  // `area`: kSharedSlabs * kSlabBytes that outlive the pool, or null for none.
  explicit SlabPool(uint8_t* area = nullptr);
  // One of the area while there is one.
  Slab take();
  void give(Slab slab);
  // Gives the system the memory of slabs that two calls in a row found unused.
  void trim();
  // Slabs that are neither here nor freed.
  size_t in_use() const;

 private:
  enum class Use : uint8_t { never, lately, before };
  size_t index_of(const uint8_t* bytes) const { return static_cast<size_t>(bytes - area_) / kSlabBytes; }

  uint8_t* const area_;
  mutable std::mutex mutex_;
  // The one that was used last is used next.
  std::vector<Slab> spare_;
  Use uses_[kSharedSlabs] = {};
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
  Slab slab;
  size_t used = 0;
};

// The I/O thread's end, and the queue between the two.
class BatchWriter final : public SessionSink {
 public:
  explicit BatchWriter(uint8_t* area) : pool_(area) {}

  uint8_t* reserve(size_t size) override;
  void data(uint32_t session, uint32_t stream, uint8_t* bytes, size_t size, bool may_merge) override;
  void event(EventType type, uint32_t session, uint32_t stream, uint32_t a, uint32_t b) override;

  // Makes what was gathered readable. True when JS has to be called for it.
  bool publish();
  // Whether JS is so far behind that sockets should wait.
  bool is_full() const;
  size_t waiting() const;

  // The JS thread's end. `has_more`: another call is due. False when nothing waits.
  bool take(Batch& batch, bool& has_more);
  SlabPool& pool() { return pool_; }

 private:
  void enqueue();

  SlabPool pool_;
  Batch current_;
  mutable std::mutex mutex_;
  std::deque<Batch> waiting_;
  bool is_called_ = false;
};

}  // namespace nz
