// RFC 8439 §2.8.2 in the framing of Noise, nonces, exhaustion, and what does not authenticate.
#include <cstring>
#include <vector>

#include "check.h"
#include "noise_record.h"

namespace nz {
namespace {

using Direction = RecordCipher::Direction;

struct Pair {
  uint8_t key[kKeyBytes];
  RecordCipher sealer;
  RecordCipher opener;
  explicit Pair(uint64_t count = 0, uint64_t max = kMaxRecordsPerKey) {
    for (size_t i = 0; i < kKeyBytes; ++i) key[i] = static_cast<uint8_t>(0x80 + i);
    CHECK(sealer.init(Direction::seal, key, count, max));
    CHECK(opener.init(Direction::open, key, count, max));
  }
};

std::vector<uint8_t> seal(RecordCipher& cipher, const std::vector<uint8_t>& text) {
  std::vector<uint8_t> out = text;
  out.resize(text.size() + kTagBytes);
  CHECK(cipher.seal(out.data(), text.size()) == RecordResult::ok);
  return out;
}

TEST("records come back, in order, of every size that matters") {
  Pair pair;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{64}, size_t{1'024}, kMaxPlaintextBytes}) {
    std::vector<uint8_t> text(size);
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<uint8_t>(i * 7);
    const std::vector<uint8_t> sealed = seal(pair.sealer, text);
    std::vector<uint8_t> opened(size + 1, 0xee);
    CHECK(pair.opener.open(sealed.data(), sealed.size(), opened.data()) == RecordResult::ok);
    CHECK(size == 0 || std::memcmp(opened.data(), text.data(), size) == 0);
    CHECK(opened[size] == 0xee);
  }
  CHECK(pair.sealer.count() == 7 && pair.opener.count() == 7);
}

// The empty-associated-data tag of the RFC's key and text under the Noise nonce 0: computed by protocols/noise (see
// test/native/vectors.test.ts, which compares both implementations on random input as well).
TEST("the nonce is the counter, little-endian behind four zeros") {
  Pair low(1);
  Pair high(uint64_t{1} << 40);
  const std::vector<uint8_t> one = seal(low.sealer, {1, 2, 3});
  const std::vector<uint8_t> other = seal(high.sealer, {1, 2, 3});
  CHECK(one != other);
  std::vector<uint8_t> out(3);
  CHECK(high.opener.open(one.data(), one.size(), out.data()) == RecordResult::unauthentic);
  CHECK(low.opener.open(one.data(), one.size(), out.data()) == RecordResult::ok);
}

TEST("what does not authenticate moves no nonce and leaves zeros") {
  Pair pair;
  const std::vector<uint8_t> sealed = seal(pair.sealer, {9, 8, 7, 6});
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::vector<uint8_t> broken = sealed;
    broken[i] ^= 0x40;
    std::vector<uint8_t> out(4, 0xee);
    CHECK(pair.opener.open(broken.data(), broken.size(), out.data()) == RecordResult::unauthentic);
    CHECK(out == std::vector<uint8_t>(4, 0));
  }
  CHECK(pair.opener.count() == 0);
  std::vector<uint8_t> out(4);
  CHECK(pair.opener.open(sealed.data(), sealed.size(), out.data()) == RecordResult::ok);
  // Replayed: the counter has moved on.
  CHECK(pair.opener.open(sealed.data(), sealed.size(), out.data()) == RecordResult::unauthentic);
}

TEST("records shorter than a tag are refused before anything is read") {
  Pair pair;
  uint8_t bytes[kTagBytes] = {};
  for (size_t size = 0; size < kTagBytes; ++size)
    CHECK(pair.opener.open(bytes, size, bytes) == RecordResult::unauthentic);
}

TEST("a key is used as often as it may be, and no more") {
  Pair pair(5, 7);
  uint8_t out[8];
  for (int i = 0; i < 2; ++i) {
    const std::vector<uint8_t> sealed = seal(pair.sealer, {1});
    CHECK(pair.opener.open(sealed.data(), sealed.size(), out) == RecordResult::ok);
  }
  uint8_t text[1 + kTagBytes] = {};
  CHECK(pair.sealer.seal(text, 1) == RecordResult::exhausted);
  CHECK(pair.opener.open(text, sizeof text, out) == RecordResult::exhausted);
}

TEST("a wiped cipher does nothing") {
  Pair pair;
  pair.sealer.wipe();
  uint8_t text[1 + kTagBytes] = {};
  CHECK(pair.sealer.seal(text, 1) == RecordResult::broken);
  RecordCipher moved(std::move(pair.opener));
  CHECK(pair.opener.open(text, sizeof text, text) == RecordResult::broken);
  CHECK(moved.count() == 0);
}

}  // namespace
}  // namespace nz
