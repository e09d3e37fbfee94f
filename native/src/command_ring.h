// The commands of JS, in memory shared with it: one writer (the JS thread), one reader (the I/O thread). A command is
// sixteen bytes, a write's bytes follow; all begin at a multiple of sixteen. The layout is that of
// native/command-ring.ts.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nz {

enum class CommandType : uint32_t {
  wrap = 0,  // the rest of the ring is empty: go on at its start
  open = 1,
  accept = 2,
  write = 3,  // argument: bytes that follow
  close_write = 4,
  reset = 5,
  consumed = 6,  // argument: bytes
  mark = 7,
  ping = 8,
  shutdown = 9,  // argument: reason of the GoAway
  abort = 10,    // argument: 1 to reset the connection
  release = 11,  // the thread of JS takes it; nothing follows for it before `released` is told
};

struct Command {
  CommandType type;
  uint32_t session;
  uint32_t stream;
  uint32_t argument;
};
static_assert(sizeof(Command) == 16);

inline constexpr size_t kCommandBytes = sizeof(Command);

// Words of the control block; the order is that of `CONTROL` in native/command-ring.ts.
enum class Control : uint8_t {
  head,         // bytes read, modulo 2^32
  tail,         // bytes written, modulo 2^32
  is_sleeping,  // the I/O thread waits: ring the bell
  is_waiting,   // JS waits for room: say so when there is some
  kCount,
};

class ControlBlock {
 public:
  explicit ControlBlock(uint32_t* words) : words_(words) {}
  uint32_t load(Control word) const { return at(word).load(std::memory_order_seq_cst); }
  void store(Control word, uint32_t value) { at(word).store(value, std::memory_order_seq_cst); }
  uint32_t exchange(Control word, uint32_t value) { return at(word).exchange(value, std::memory_order_seq_cst); }

 private:
  std::atomic_ref<uint32_t> at(Control word) const {
    return std::atomic_ref<uint32_t>(words_[static_cast<size_t>(word)]);
  }
  uint32_t* words_;
};

class CommandReader {
 public:
  // `size`: a power of two, at least 64 KiB.
  CommandReader(const uint8_t* ring, size_t size, ControlBlock control) : ring_(ring), size_(size), control_(control) {}

  bool is_empty() const { return control_.load(Control::tail) == head_; }

  // Fixes what `read` may read. A connection that is attached before its first command is written is found by whoever
  // looks here first and for new connections then.
  void look() { tail_ = control_.load(Control::tail); }

  // Calls `run(command, bytes)` for what was there, until about `max_bytes` are read. False when the ring is not what
  // JS promises; nothing of it is to be trusted then.
  template <typename Run>
  bool read(size_t max_bytes, Run run) {
    if (tail_ - head_ > size_) return false;
    size_t read_bytes = 0;
    while (head_ != tail_ && read_bytes < max_bytes) {
      const size_t offset = head_ & (size_ - 1);
      Command command;
      std::memcpy(&command, ring_ + offset, kCommandBytes);
      size_t length = kCommandBytes;
      if (command.type == CommandType::wrap) {
        length = size_ - offset;
      } else {
        if (command.type == CommandType::write) length += (size_t{command.argument} + 15) & ~size_t{15};
        if (length > tail_ - head_ || offset + length > size_) return false;
        run(command, ring_ + offset + kCommandBytes);
      }
      head_ += static_cast<uint32_t>(length);
      read_bytes += length;
      control_.store(Control::head, head_);
    }
    return true;
  }

 private:
  const uint8_t* ring_;
  const size_t size_;
  ControlBlock control_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
};

}  // namespace nz
