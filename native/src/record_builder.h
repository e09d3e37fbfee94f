// Where frames become records: plaintext is gathered in place, and sealed when a record is full or the socket is free.
// Neighbouring writes to one stream share a frame, frames share records of up to 64 KiB, records share a buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "noise_record.h"
#include "yamux_frame.h"

namespace nz {

inline constexpr size_t kRecordsPerBuffer = 4;
inline constexpr size_t kOutBufferBytes = kRecordsPerBuffer * (kLengthBytes + kMaxMessageBytes);

// Sealed bytes on their way to a socket. Lives until the kernel is done with it.
struct OutBuffer {
  uint32_t used = 0;
  uint32_t sent = 0;
  uint8_t bytes[kOutBufferBytes];
};

// Buffers that wait for use, so that an idle connection holds none. One thread.
class OutPool {
 public:
  std::unique_ptr<OutBuffer> take();
  void give(std::unique_ptr<OutBuffer> buffer);

 private:
  static constexpr size_t kMaxSpare = 16;
  std::vector<std::unique_ptr<OutBuffer>> spare_;
};

class RecordBuilder {
 public:
  // `merges`: whether neighbouring writes to one stream may share a frame.
  RecordBuilder(RecordCipher cipher, OutPool& pool, bool merges)
      : cipher_(std::move(cipher)), pool_(&pool), merges_(merges) {}
  ~RecordBuilder() { drop(); }
  RecordBuilder(const RecordBuilder&) = delete;
  RecordBuilder& operator=(const RecordBuilder&) = delete;

  // Buffers come from there, and go there, from now on.
  void move_to(OutPool& pool) { pool_ = &pool; }

  // A frame without bytes behind it. False when the buffer is full: again after `take`.
  bool control(const yamux::Header& header);

  // Bytes of a stream, `flags` on the first frame. How many it took: fewer than `size` when the buffer is full.
  size_t data(uint32_t stream, uint16_t flags, const uint8_t* bytes, size_t size);

  bool is_empty() const { return buffer_ == nullptr; }

  // All that was gathered, sealed; null when nothing was, or when sealing failed (`result` says why).
  std::unique_ptr<OutBuffer> take();

  RecordResult result() const { return result_; }
  uint64_t records() const { return cipher_.count(); }
  uint64_t frames() const { return frames_; }

  // Forgets what was gathered and wipes the key.
  void drop();

 private:
  bool make_room(size_t bytes);
  void close_record();
  uint8_t* end() { return buffer_->bytes + buffer_->used; }
  size_t record_room() const;

  RecordCipher cipher_;
  OutPool* pool_;
  const bool merges_;
  std::unique_ptr<OutBuffer> buffer_;
  bool is_open_ = false;
  uint32_t record_start_ = 0;
  // The last frame of the open record when it is a data frame that may grow; 0 for none.
  uint32_t growing_ = 0;
  uint32_t growing_stream_ = 0;
  uint64_t frames_ = 0;
  RecordResult result_ = RecordResult::ok;
};

}  // namespace nz
