// What a peer may ask of a connection to no use of its own: the rules allow it, and it would cost others their share.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nz {

// A burst of units, and more by and by. The costs and bounds are those of protocols/yamux/allowance.ts.
class Allowance {
 public:
  static constexpr uint32_t kPing = 1;
  // A stream beyond the limits.
  static constexpr uint32_t kRefusal = 1;
  // A stream that the peer resets before it has sent a byte: JS has made it, and made it for nothing.
  static constexpr uint32_t kVainStream = 16;

  // False once nothing is left.
  bool spend(uint32_t units, uint64_t now_us) {
    const uint64_t seconds = (now_us - filled_us_) / 1'000'000;
    if (seconds > 0) {
      filled_us_ += seconds * 1'000'000;
      left_ = static_cast<uint32_t>(std::min<uint64_t>(kBurst, left_ + std::min<uint64_t>(seconds, kBurst) * kPerSecond));
    }
    if (units > left_) return false;
    left_ -= units;
    return true;
  }

 private:
  static constexpr uint32_t kBurst = 4'096;
  static constexpr uint32_t kPerSecond = 256;

  uint32_t left_ = kBurst;
  uint64_t filled_us_ = 0;
};

}  // namespace nz
