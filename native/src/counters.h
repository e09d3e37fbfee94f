// What a connection has done so far: numbers in memory shared with JS, written by the I/O thread alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nz {

// The order is that of `COUNTERS` in native/binding.ts.
enum class Counter : uint8_t {
  received_bytes,     // sealed bytes read from the socket
  sent_bytes,         // sealed bytes written to the socket
  received_records,
  sent_records,
  received_frames,
  sent_frames,
  receive_completions,  // pieces the kernel delivered
  send_completions,     // pieces the kernel took
  window_stalls,      // writes that had to wait for credit of the peer
  dropped_bytes,      // bytes of streams that are no longer there
  open_streams,
  rtt_us,
  queued_bytes,       // of streams, waiting for credit or for the socket
  receive_window_bytes,  // the largest window granted to a stream
  kCount,
};

inline constexpr size_t kCounterSlotBytes = 16 * sizeof(uint64_t);
static_assert(static_cast<size_t>(Counter::kCount) * sizeof(uint64_t) <= kCounterSlotBytes);

class Counters {
 public:
  // `slot`: kCounterSlotBytes of zeros, 8-byte aligned, or null for none.
  explicit Counters(uint64_t* slot = nullptr) : slot_(slot == nullptr ? own_ : slot) {}
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  void add(Counter counter, uint64_t amount) { set(counter, get(counter) + amount); }
  void take(Counter counter, uint64_t amount) { set(counter, get(counter) - amount); }
  void set(Counter counter, uint64_t value) {
    std::atomic_ref<uint64_t>(slot_[static_cast<size_t>(counter)]).store(value, std::memory_order_relaxed);
  }
  uint64_t get(Counter counter) const {
    return std::atomic_ref<uint64_t>(slot_[static_cast<size_t>(counter)]).load(std::memory_order_relaxed);
  }

 private:
  uint64_t own_[static_cast<size_t>(Counter::kCount)] = {};
  uint64_t* slot_;
};

}  // namespace nz
