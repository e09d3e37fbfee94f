#include "noise_record.h"

#include <openssl/crypto.h>

#include <utility>

namespace nz {

namespace {

constexpr size_t kNonceBytes = 12;

// Four zero bytes, then the counter, little-endian (§12.3).
struct Nonce {
  uint8_t bytes[kNonceBytes] = {};
  explicit Nonce(uint64_t count) {
    for (size_t i = 0; i < 8; ++i) bytes[4 + i] = static_cast<uint8_t>(count >> (8 * i));
  }
};

}  // namespace

RecordCipher::~RecordCipher() { wipe(); }

RecordCipher::RecordCipher(RecordCipher&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)), count_(other.count_), max_records_(other.max_records_) {}

bool RecordCipher::init(Direction direction, std::span<const uint8_t, kKeyBytes> key, uint64_t count,
                        uint64_t max_records) {
  wipe();
  context_ = EVP_CIPHER_CTX_new();
  if (context_ == nullptr) return false;
  const Nonce nonce(count);
  const int done = direction == Direction::seal
                       ? EVP_EncryptInit_ex(context_, EVP_chacha20_poly1305(), nullptr, key.data(), nonce.bytes)
                       : EVP_DecryptInit_ex(context_, EVP_chacha20_poly1305(), nullptr, key.data(), nonce.bytes);
  if (done != 1) {
    wipe();
    return false;
  }
  count_ = count;
  max_records_ = max_records;
  return true;
}

RecordResult RecordCipher::seal(uint8_t* text, size_t size) {
  if (context_ == nullptr || size > kMaxPlaintextBytes) return RecordResult::broken;
  if (count_ >= max_records_) return RecordResult::exhausted;
  const Nonce nonce(count_);
  int written = 0;
  int rest = 0;
  if (EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, nonce.bytes) != 1 ||
      EVP_EncryptUpdate(context_, text, &written, text, static_cast<int>(size)) != 1 ||
      EVP_EncryptFinal_ex(context_, text + written, &rest) != 1 ||
      EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kTagBytes, text + size) != 1) {
    return RecordResult::broken;
  }
  count_ += 1;
  return RecordResult::ok;
}

RecordResult RecordCipher::open(const uint8_t* sealed, size_t size, uint8_t* out) {
  if (context_ == nullptr) return RecordResult::broken;
  if (size < kTagBytes || size > kMaxMessageBytes) return RecordResult::unauthentic;
  if (count_ >= max_records_) return RecordResult::exhausted;
  const size_t body = size - kTagBytes;
  const Nonce nonce(count_);
  uint8_t tag[kTagBytes];
  for (size_t i = 0; i < kTagBytes; ++i) tag[i] = sealed[body + i];
  int written = 0;
  int rest = 0;
  if (EVP_DecryptInit_ex(context_, nullptr, nullptr, nullptr, nonce.bytes) != 1 ||
      EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) != 1 ||
      EVP_DecryptUpdate(context_, out, &written, sealed, static_cast<int>(body)) != 1) {
    return RecordResult::broken;
  }
  if (EVP_DecryptFinal_ex(context_, out + written, &rest) != 1) {
    OPENSSL_cleanse(out, body);
    return RecordResult::unauthentic;
  }
  count_ += 1;
  return RecordResult::ok;
}

void RecordCipher::wipe() {
  if (context_ == nullptr) return;
  EVP_CIPHER_CTX_free(context_);
  context_ = nullptr;
}

}  // namespace nz
