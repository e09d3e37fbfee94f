// Slabs that are lent, kept, given back, and given to the system.
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "slab_pool.h"

namespace nz {
namespace {

TEST("as many slabs are kept as may be, and the last piece of one brings it back") {
  const std::shared_ptr<SlabPool> pool = SlabPool::mapped();
  CHECK(pool != nullptr);
  std::vector<KeptSlab*> kept;
  for (size_t i = 0; i < kMaxKeptSlabs; ++i) {
    Slab slab = pool->take();
    CHECK(slab.get_deleter().is_shared);
    kept.push_back(KeptSlab::keep(pool, slab));
    CHECK(kept.back() != nullptr && slab == nullptr);
  }
  Slab refused = pool->take();
  CHECK(KeptSlab::keep(pool, refused) == nullptr && refused != nullptr);
  pool->give(std::move(refused));
  // What is lent does not run out for it.
  std::vector<Slab> lent;
  for (size_t i = 0; i < kLentSlabs; ++i) lent.push_back(pool->take());
  for (Slab& slab : lent) {
    CHECK(slab.get_deleter().is_shared);
    pool->give(std::move(slab));
  }
  kept[0]->add_piece();
  kept[0]->drop_piece();
  CHECK(pool->in_use() == kMaxKeptSlabs);
  kept[0]->drop_piece();
  CHECK(pool->in_use() == kMaxKeptSlabs - 1);
  Slab again = pool->take();
  kept[0] = KeptSlab::keep(pool, again);
  CHECK(kept[0] != nullptr);
  for (KeptSlab* each : kept) each->drop_piece();
  CHECK(pool->in_use() == 0);
}

TEST("what is kept outlives its pool's owner, and comes back from any thread") {
  std::shared_ptr<SlabPool> pool = SlabPool::mapped();
  Slab slab = pool->take();
  uint8_t* bytes = slab.get();
  std::memset(bytes, 7, kSlabBytes);
  KeptSlab* kept = KeptSlab::keep(pool, slab);
  kept->add_piece();
  pool = nullptr;
  CHECK(bytes[0] == 7 && bytes[kSlabBytes - 1] == 7);
  std::thread other([kept] { kept->drop_piece(); });
  kept->drop_piece();
  other.join();
}

TEST("neither memory of the heap nor of an owner who may take it away is kept") {
  const auto heap = std::make_shared<SlabPool>();
  Slab slab = heap->take();
  CHECK(KeptSlab::keep(heap, slab) == nullptr && slab != nullptr);
  heap->give(std::move(slab));
  const auto bytes = std::make_unique<uint8_t[]>(kSlabAreaBytes);
  const auto lent = std::make_shared<SlabPool>(bytes.get());
  slab = lent->take();
  CHECK(slab.get() == bytes.get() && KeptSlab::keep(lent, slab) == nullptr);
  lent->give(std::move(slab));
}

TEST("memory of slabs goes to the system when they have been idle for a while, and of no other") {
  const std::shared_ptr<SlabPool> pool = SlabPool::mapped();
  Slab idle = pool->take();
  Slab busy = pool->take();
  uint8_t* const was_idle = idle.get();
  // A page lies whole within it, wherever it begins.
  idle[kSlabBytes / 2] = busy[kSlabBytes / 2] = 1;
  pool->give(std::move(idle));
  for (uint8_t i = 1; i < kTrimAfter; ++i) pool->trim();
  CHECK(was_idle[kSlabBytes / 2] == 1);
  pool->trim();
  CHECK(was_idle[kSlabBytes / 2] == 0 && busy[kSlabBytes / 2] == 1);
  pool->give(std::move(busy));
}

}  // namespace
}  // namespace nz
