#include "batch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace nz {

namespace {

// Pieces up to this size are moved behind the piece before, so that JS sees one.
constexpr size_t kMergeBytes = 16 * 1024;

}  // namespace

SlabPool::SlabPool(uint8_t* area) : area_(area) {
  spare_.reserve(kSharedSlabs);
  for (size_t i = 0; area != nullptr && i < kSharedSlabs; ++i)
    spare_.emplace_back(area + i * kSlabBytes, SlabDeleter{true});
}

Slab SlabPool::take() {
  const std::lock_guard lock(mutex_);
  in_use_ += 1;
  if (spare_.empty()) return Slab(new uint8_t[kSlabBytes], SlabDeleter{false});
  Slab slab = std::move(spare_.back());
  spare_.pop_back();
  uses_[index_of(slab.get())] = Use::lately;
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
    Use& use = uses_[index_of(slab.get())];
    if (use == Use::before) {
      // Whole pages within it; the next write to one finds zeros.
      const auto begin = (reinterpret_cast<uintptr_t>(slab.get()) + page - 1) & ~(page - 1);
      const auto end = (reinterpret_cast<uintptr_t>(slab.get()) + kSlabBytes) & ~(page - 1);
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
      use = Use::never;
    }
    if (use == Use::lately) use = Use::before;
  }
}

size_t SlabPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

uint8_t* BatchWriter::reserve(size_t size) {
  const bool is_full = kSlabBytes - current_.used < size || current_.events.size() >= kMaxEvents;
  if (current_.slab != nullptr && is_full) enqueue();
  if (current_.slab == nullptr) current_.slab = pool_.take();
  return current_.slab.get() + current_.used;
}

void BatchWriter::data(uint32_t session, uint32_t stream, uint8_t* bytes, size_t size, bool may_merge) {
  const size_t offset = static_cast<size_t>(bytes - current_.slab.get());
  if (may_merge && !current_.events.empty()) {
    Event& last = current_.events.back();
    const bool is_same = last.type == static_cast<uint32_t>(EventType::data) && last.session == session &&
                         last.stream == stream;
    // Bytes of an event that is the last one end where `used` ends; headers of frames lie in between.
    const size_t end = size_t{last.a} + last.b;
    if (is_same && (end == offset || size <= kMergeBytes)) {
      if (end != offset) std::memmove(current_.slab.get() + end, bytes, size);
      last.b += static_cast<uint32_t>(size);
      current_.used = end + size;
      return;
    }
  }
  current_.events.push_back({static_cast<uint32_t>(EventType::data), session, stream, static_cast<uint32_t>(offset),
                             static_cast<uint32_t>(size)});
  current_.used = offset + size;
}

void BatchWriter::event(EventType type, uint32_t session, uint32_t stream, uint32_t a, uint32_t b) {
  current_.events.push_back({static_cast<uint32_t>(type), session, stream, a, b});
}

void BatchWriter::enqueue() {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(current_));
  current_ = Batch{};
}

bool BatchWriter::publish() {
  if (!current_.events.empty()) enqueue();
  const std::lock_guard lock(mutex_);
  if (is_called_ || waiting_.empty()) return false;
  is_called_ = true;
  return true;
}

bool BatchWriter::is_full() const { return waiting() >= kMaxWaitingBatches; }

size_t BatchWriter::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

bool BatchWriter::take(Batch& batch, bool& has_more) {
  const std::lock_guard lock(mutex_);
  if (waiting_.empty()) {
    has_more = false;
    is_called_ = false;
    return false;
  }
  batch = std::move(waiting_.front());
  waiting_.pop_front();
  has_more = !waiting_.empty();
  is_called_ = has_more;
  return true;
}

}  // namespace nz
