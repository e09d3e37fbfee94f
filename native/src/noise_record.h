// One direction of a Noise transport session (revision 34 §5.1, ChaCha20-Poly1305, RFC 8439): seals or opens records
// with a counter for a nonce. The keys live in OpenSSL's context, which wipes them when it is freed.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace nz {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kLengthBytes = 2;
inline constexpr size_t kMaxMessageBytes = 65'535;
inline constexpr size_t kMaxPlaintextBytes = kMaxMessageBytes - kTagBytes;
// Records one key may seal: the same bound as protocols/noise/cipher-state.ts.
inline constexpr uint64_t kMaxRecordsPerKey = uint64_t{1} << 48;

enum class RecordResult : uint8_t { ok, unauthentic, exhausted, broken };

class RecordCipher {
 public:
  enum class Direction : uint8_t { seal, open };

  RecordCipher() = default;
  ~RecordCipher();
  RecordCipher(RecordCipher&& other) noexcept;
  RecordCipher(const RecordCipher&) = delete;
  RecordCipher& operator=(const RecordCipher&) = delete;
  RecordCipher& operator=(RecordCipher&&) = delete;

  // `count`: records the key has sealed or opened elsewhere. False when the crypto library refuses.
  bool init(Direction direction, std::span<const uint8_t, kKeyBytes> key, uint64_t count,
            uint64_t max_records = kMaxRecordsPerKey);

  // Seals `size` bytes in place and writes the tag behind them.
  RecordResult seal(uint8_t* text, size_t size);

  // Opens `size` sealed bytes, the tag included, into `out` (size - kTagBytes). What does not authenticate moves no
  // nonce and leaves zeros.
  RecordResult open(const uint8_t* sealed, size_t size, uint8_t* out);

  uint64_t count() const { return count_; }

  // Frees the key; every later call is `broken`.
  void wipe();

 private:
  EVP_CIPHER_CTX* context_ = nullptr;
  uint64_t count_ = 0;
  uint64_t max_records_ = 0;
};

}  // namespace nz
