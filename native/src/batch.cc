#include "batch.h"

#include <cstring>
#include <utility>

namespace nz {

namespace {

// Pieces up to this size are moved behind the piece before, so that JS sees one.
constexpr size_t kMergeBytes = 16 * 1024;

}  // namespace

uint8_t* BatchWriter::reserve(size_t size) {
  const bool is_full = kSlabBytes - current_.used < size || current_.events.size() >= kMaxEvents;
  if (current_.slab != nullptr && is_full) enqueue();
  if (current_.slab == nullptr) current_.slab = pool_->take();
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
