#include "slab_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace nz {

SlabPool::SlabPool(uint8_t* area) : area_(area) {
  spare_.reserve(kSharedSlabs);
  for (size_t i = kSharedSlabs; area != nullptr && i-- > 0;)
    spare_.emplace_back(area + i * kSlabBytes, SlabDeleter{true});
}

std::shared_ptr<SlabPool> SlabPool::mapped() {
  void* area = mmap(nullptr, kSlabAreaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) return nullptr;
  auto pool = std::make_shared<SlabPool>(static_cast<uint8_t*>(area));
  pool->is_mapped_ = true;
  return pool;
}

SlabPool::~SlabPool() {
  if (is_mapped_) munmap(area_, kSlabAreaBytes);
}

Slab SlabPool::take() {
  const std::lock_guard lock(mutex_);
  in_use_ += 1;
  if (spare_.empty()) return Slab(new uint8_t[kSlabBytes], SlabDeleter{false});
  Slab slab = std::move(spare_.back());
  spare_.pop_back();
  trims_left_[index_of(slab.get())] = kTrimAfter;
  return slab;
}

void SlabPool::give(Slab slab) {
  if (slab == nullptr) return;
  const std::lock_guard lock(mutex_);
  in_use_ -= 1;
  if (slab.get_deleter().is_shared) spare_.push_back(std::move(slab));
}

void SlabPool::trim() {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::lock_guard lock(mutex_);
  for (const Slab& slab : spare_) {
    uint8_t& left = trims_left_[index_of(slab.get())];
    if (left == 0 || --left > 0) continue;
    // Whole pages within it; the next write to one finds zeros.
    const auto begin = (reinterpret_cast<uintptr_t>(slab.get()) + page - 1) & ~(page - 1);
    const auto end = (reinterpret_cast<uintptr_t>(slab.get()) + kSlabBytes) & ~(page - 1);
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

size_t SlabPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

KeptSlab* KeptSlab::keep(const std::shared_ptr<SlabPool>& pool, Slab& slab) {
  if (!pool->is_mapped_ || slab == nullptr || !slab.get_deleter().is_shared) return nullptr;
  const std::lock_guard lock(pool->mutex_);
  if (pool->kept_ >= kMaxKeptSlabs) return nullptr;
  pool->kept_ += 1;
  return new KeptSlab(pool, std::move(slab));
}

void KeptSlab::drop_piece() {
  if (pieces_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  {
    const std::lock_guard lock(pool_->mutex_);
    pool_->kept_ -= 1;
  }
  pool_->give(std::move(slab_));
  delete this;
}

}  // namespace nz
