// Memory for received plaintext. JS reads it in place: slabs are lent for the time of a batch, and used again and again.
// Pieces of some may be kept; their slabs come back when V8 has collected the last piece.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace nz {

// Plaintext of one callback.
inline constexpr size_t kSlabBytes = 512 * 1024;
// To lend: four that wait, one that is filled, one that is read, two for what cannot wait.
inline constexpr size_t kLentSlabs = 8;
// Slabs of which JS may keep pieces at a time.
inline constexpr size_t kMaxKeptSlabs = 32;
inline constexpr size_t kSharedSlabs = kLentSlabs + kMaxKeptSlabs;
// Calls of `trim`, one a second, that find a slab unused before its memory is given to the system: the next burst should
// find it warm.
inline constexpr uint8_t kTrimAfter = 10;
inline constexpr size_t kSlabAreaBytes = kSharedSlabs * kSlabBytes;

struct SlabDeleter {
  bool is_shared = false;
  void operator()(uint8_t* bytes) const {
    if (!is_shared) delete[] bytes;
  }
};
// kSlabBytes, of the shared area or of the heap.
using Slab = std::unique_ptr<uint8_t[], SlabDeleter>;

// Of any thread.
class SlabPool {
 public:
  // `area`: kSlabAreaBytes that outlive the pool, or null for none.
  explicit SlabPool(uint8_t* area = nullptr);
  // With an area of its own; null when the system has no memory.
  static std::shared_ptr<SlabPool> mapped();
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  // One of the area while there is one.
  Slab take();
  void give(Slab slab);
  // Gives the system the memory of slabs that `kTrimAfter` calls in a row found unused.
  void trim();
  // Slabs that are neither here nor freed.
  size_t in_use() const;
  uint8_t* area() const { return area_; }

 private:
  friend class KeptSlab;
  size_t index_of(const uint8_t* bytes) const { return static_cast<size_t>(bytes - area_) / kSlabBytes; }

  uint8_t* const area_;
  bool is_mapped_ = false;
  mutable std::mutex mutex_;
  // The one that was used last is used next.
  std::vector<Slab> spare_;
  // Calls of `trim` until it has none of the system's memory; 0: it has none.
  uint8_t trims_left_[kSharedSlabs] = {};
  size_t in_use_ = 0;
  size_t kept_ = 0;
};

// A slab of which somebody has pieces. Goes back to its pool, which lives as long, with the last of them.
class KeptSlab {
 public:
  // With one piece, the caller's. Null when as many are kept as may be, or the slab is none of a mapped area: `slab` is
  // the caller's still.
  static KeptSlab* keep(const std::shared_ptr<SlabPool>& pool, Slab& slab);
  void add_piece() { pieces_.fetch_add(1, std::memory_order_relaxed); }
  void drop_piece();

 private:
  KeptSlab(std::shared_ptr<SlabPool> pool, Slab slab) : pool_(std::move(pool)), slab_(std::move(slab)) {}

  const std::shared_ptr<SlabPool> pool_;
  Slab slab_;
  std::atomic<size_t> pieces_ = 1;
};

}  // namespace nz
