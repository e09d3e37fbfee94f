#include "record_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bytes.h"

namespace nz {

std::unique_ptr<OutBuffer> OutPool::take() {
  if (spare_.empty()) return std::unique_ptr<OutBuffer>(new OutBuffer);
  std::unique_ptr<OutBuffer> buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

void OutPool::give(std::unique_ptr<OutBuffer> buffer) {
  if (buffer == nullptr || spare_.size() >= kMaxSpare) return;
  buffer->used = 0;
  buffer->sent = 0;
  spare_.push_back(std::move(buffer));
}

bool RecordBuilder::control(const yamux::Header& header) {
  if (!make_room(yamux::kHeaderBytes)) return false;
  yamux::encode(end(), header);
  buffer_->used += yamux::kHeaderBytes;
  growing_ = 0;
  frames_ += 1;
  return true;
}

size_t RecordBuilder::data(uint32_t stream, uint16_t flags, const uint8_t* bytes, size_t size) {
  size_t taken = 0;
  if (!merges_) growing_ = 0;
  while (taken < size) {
    if (is_open_ && growing_ != 0 && growing_stream_ == stream && flags == 0 && record_room() > 0) {
      const size_t part = std::min(size - taken, record_room());
      std::memcpy(end(), bytes + taken, part);
      buffer_->used += static_cast<uint32_t>(part);
      uint8_t* length = buffer_->bytes + growing_ + 8;
      put_u32(length, get_u32(length) + static_cast<uint32_t>(part));
      taken += part;
      continue;
    }
    // A header alone at the end of a record would be a frame of no bytes.
    if (!make_room(yamux::kHeaderBytes + 1)) break;
    growing_ = buffer_->used;
    growing_stream_ = stream;
    yamux::encode(end(), {yamux::Type::data, flags, stream, 0});
    buffer_->used += yamux::kHeaderBytes;
    frames_ += 1;
    flags = 0;
  }
  return taken;
}

std::unique_ptr<OutBuffer> RecordBuilder::take() {
  if (is_open_) close_record();
  if (result_ != RecordResult::ok || buffer_ == nullptr) return nullptr;
  growing_ = 0;
  return std::exchange(buffer_, nullptr);
}

void RecordBuilder::drop() {
  pool_->give(std::exchange(buffer_, nullptr));
  is_open_ = false;
  growing_ = 0;
  cipher_.wipe();
}

size_t RecordBuilder::record_room() const {
  return kMaxPlaintextBytes - (buffer_->used - record_start_ - kLengthBytes);
}

// Opens a record when none is open or the open one has no room for `bytes`.
bool RecordBuilder::make_room(size_t bytes) {
  if (result_ != RecordResult::ok) return false;
  if (is_open_) {
    if (record_room() >= bytes) return true;
    close_record();
    if (result_ != RecordResult::ok) return false;
  }
  if (buffer_ == nullptr) buffer_ = pool_->take();
  // Records are of full size, so that each is whole in the buffer.
  if (kOutBufferBytes - buffer_->used < kLengthBytes + kMaxMessageBytes) return false;
  is_open_ = true;
  record_start_ = buffer_->used;
  buffer_->used += kLengthBytes;
  growing_ = 0;
  return true;
}

void RecordBuilder::close_record() {
  is_open_ = false;
  growing_ = 0;
  uint8_t* text = buffer_->bytes + record_start_ + kLengthBytes;
  const size_t size = buffer_->used - record_start_ - kLengthBytes;
  result_ = cipher_.seal(text, size);
  if (result_ != RecordResult::ok) return;
  put_u16(buffer_->bytes + record_start_, static_cast<uint16_t>(size + kTagBytes));
  buffer_->used += kTagBytes;
}

}  // namespace nz
