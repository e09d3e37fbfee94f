// What the peer sends: records, in them frames, in them bytes of streams. Everything here is a stranger's.
#include <algorithm>
#include <cstring>

#include "bytes.h"
#include "session.h"

namespace nz {

using yamux::Header;
using yamux::Type;

bool Session::receive(const uint8_t* bytes, size_t size) {
  counters_.add(Counter::received_bytes, size);
  while (size > 0 && failure_ == Failure::none) {
    if (partial_.empty()) {
      const size_t record = size < kLengthBytes ? 0 : kLengthBytes + get_u16(bytes);
      if (record != 0 && record <= size) {
        open_record(bytes + kLengthBytes, record - kLengthBytes);
        bytes += record;
        size -= record;
        continue;
      }
    }
    // A record in pieces: gathered until it is whole, at most one.
    const size_t have = partial_.size();
    const size_t wanted = have < kLengthBytes ? kLengthBytes : kLengthBytes + get_u16(partial_.data());
    const size_t part = std::min(size, wanted - have);
    partial_.insert(partial_.end(), bytes, bytes + part);
    bytes += part;
    size -= part;
    if (partial_.size() < kLengthBytes) continue;
    const size_t whole = kLengthBytes + get_u16(partial_.data());
    if (partial_.size() < whole) continue;
    open_record(partial_.data() + kLengthBytes, whole - kLengthBytes);
    partial_.clear();
  }
  return failure_ == Failure::none;
}

bool Session::receive_plaintext(const uint8_t* bytes, size_t size) {
  while (size > 0 && failure_ == Failure::none) {
    const size_t part = std::min(size, kMaxPlaintextBytes);
    uint8_t* copy = sink_->reserve(part);
    std::memcpy(copy, bytes, part);
    read_plaintext(copy, part);
    bytes += part;
    size -= part;
  }
  return failure_ == Failure::none;
}

bool Session::open_record(const uint8_t* record, size_t size) {
  if (size < kTagBytes) {
    fail(Failure::record_malformed);
    return false;
  }
  size_t rest = size - kTagBytes;
  uint8_t* plaintext = sink_->reserve(rest);
  // A record that begins with a header and goes on is opened over the end of what was told before, which is put back when
  // the header has been read: the bytes of the frame then follow those of the frame before it.
  const bool overlies = body_left_ == 0 && header_bytes_ == 0 && rest > yamux::kHeaderBytes &&
                        sink_->has_in_front(yamux::kHeaderBytes);
  uint8_t told[yamux::kHeaderBytes];
  if (overlies) {
    plaintext -= yamux::kHeaderBytes;
    std::memcpy(told, plaintext, yamux::kHeaderBytes);
  }
  const RecordResult result = opener_.open(record, size, plaintext);
  if (overlies) {
    std::memcpy(header_, plaintext, yamux::kHeaderBytes);
    std::memcpy(plaintext, told, yamux::kHeaderBytes);
    header_bytes_ = yamux::kHeaderBytes;
    plaintext += yamux::kHeaderBytes;
    rest -= yamux::kHeaderBytes;
  }
  switch (result) {
    case RecordResult::ok:
      counters_.add(Counter::received_records, 1);
      return read_plaintext(plaintext, rest);
    case RecordResult::unauthentic:
      fail(Failure::record_unauthentic);
      return false;
    case RecordResult::exhausted:
      fail(Failure::exhausted);
      return false;
    case RecordResult::broken:
      fail(Failure::broken);
      return false;
  }
  return false;
}

// Frames may begin and end anywhere in a record. Bytes of a frame are passed on as they come.
bool Session::read_plaintext(uint8_t* bytes, size_t size) {
  while (size > 0 && failure_ == Failure::none) {
    if (body_left_ > 0) {
      const uint32_t part = static_cast<uint32_t>(std::min<size_t>(size, body_left_));
      if (!body_is_wanted_) {
        counters_.add(Counter::dropped_bytes, part);
      } else {
        sink_->data(id_, body_stream_, bytes, part, merges_messages_);
      }
      body_left_ -= part;
      bytes += part;
      size -= part;
      if (body_left_ == 0) end_of_frame();
      continue;
    }
    const size_t part = std::min(size, yamux::kHeaderBytes - header_bytes_);
    std::memcpy(header_ + header_bytes_, bytes, part);
    header_bytes_ += part;
    bytes += part;
    size -= part;
    if (header_bytes_ < yamux::kHeaderBytes) break;
    header_bytes_ = 0;
    Header header;
    if (!yamux::decode(header_, header)) {
      fail(Failure::frame_invalid);
      break;
    }
    counters_.add(Counter::received_frames, 1);
    read_header(header);
  }
  return failure_ == Failure::none;
}

void Session::read_header(const Header& header) {
  switch (header.type) {
    case Type::data:
    case Type::window_update:
      if (header.stream == 0) return fail(Failure::frame_invalid);
      return read_stream_header(header);
    case Type::ping:
      return header.stream == 0 ? read_ping(header) : fail(Failure::frame_invalid);
    case Type::go_away:
      if (header.stream != 0) return fail(Failure::frame_invalid);
      sink_->event(EventType::go_away, id_, 0, header.length, 0);
  }
}

void Session::read_stream_header(const Header& header) {
  const uint32_t id = header.stream;
  if ((header.flags & yamux::kSyn) != 0 && !admit(header)) return;
  Stream* stream = find(id);
  if (stream != nullptr && stream->awaits_ack && (header.flags & yamux::kAck) != 0) {
    stream->awaits_ack = false;
    unacknowledged_ -= 1;
    greet_next();
  }
  body_stream_ = id;
  body_is_wanted_ = false;
  body_ends_stream_ = (header.flags & yamux::kFin) != 0;
  body_resets_stream_ = (header.flags & yamux::kRst) != 0;
  if (header.type == Type::window_update) {
    if (stream != nullptr) {
      stream->send_window += header.length;
      // Far beyond what any peer grants, and far from an overflow.
      if (stream->send_window > uint64_t{1} << 40) return fail(Failure::window_exceeded);
      if (stream->queued() > 0) make_ready(id, *stream);
    }
    return end_of_frame();
  }
  if (stream != nullptr) {
    if (header.length > stream->receive_window) return fail(Failure::window_exceeded);
    // A peer that has said its end has nothing more to say.
    if (stream->has_received_fin && header.length > 0) return fail(Failure::frame_invalid);
    stream->receive_window -= header.length;
    stream->unconsumed += header.length;
    stream->has_received_bytes |= header.length > 0;
    body_is_wanted_ = true;
  } else if (header.length > limits_.max_window_bytes) {
    // What was on its way to a stream that is gone is at most a window.
    return fail(Failure::window_exceeded);
  }
  body_left_ = header.length;
  if (body_left_ == 0) end_of_frame();
}

// A stream the peer opens. False when the session failed; a stream that is refused is answered by a reset.
bool Session::admit(const Header& header) {
  const uint32_t id = header.stream;
  if (is_own(id) || streams_.contains(id)) {
    fail(Failure::frame_invalid);
    return false;
  }
  if (header.type == Type::data && header.length > yamux::kInitialWindowBytes) {
    fail(Failure::window_exceeded);
    return false;
  }
  const bool is_full = inbound_streams_ >= limits_.max_inbound_streams || backlog_ >= limits_.max_backlog;
  if (is_full || is_shutting_down_) {
    refuse(id);
    return failure_ == Failure::none;
  }
  Stream& stream = streams_[id];
  stream.is_inbound = true;
  stream.window_began_us = *now_us_;
  inbound_streams_ += 1;
  backlog_ += 1;
  counters_.add(Counter::open_streams, 1);
  sink_->event(EventType::stream, id_, id, 0, 0);
  return true;
}

void Session::refuse(uint32_t stream) {
  spend(Allowance::kRefusal);
  if (resets_.size() >= kMaxPendingResets) pump();
  if (resets_.size() >= kMaxPendingResets) return fail(Failure::flood);
  resets_.push_back(stream);
}

// A peer that asks and does not read the answers is cut before they weigh anything.
void Session::read_ping(const Header& header) {
  if ((header.flags & yamux::kSyn) != 0) {
    spend(Allowance::kPing);
    if (pongs_.size() >= kMaxPendingPongs) pump();
    if (pongs_.size() >= kMaxPendingPongs) return fail(Failure::flood);
    pongs_.push_back(header.length);
    return;
  }
  if (!is_pinging_ || header.length != ping_id_) return;
  is_pinging_ = false;
  rtt_us_ = std::max<uint64_t>(*now_us_ - ping_sent_us_, 1);
  counters_.set(Counter::rtt_us, rtt_us_);
  sink_->event(EventType::rtt, id_, 0, static_cast<uint32_t>(std::min<uint64_t>(rtt_us_, UINT32_MAX)), 0);
}

// What the flags of a frame say counts from its last byte on.
void Session::end_of_frame() {
  const uint32_t id = body_stream_;
  Stream* stream = find(id);
  if (stream == nullptr) return;
  if (body_resets_stream_) {
    if (stream->is_inbound && !stream->has_received_bytes) spend(Allowance::kVainStream);
    erase(id);
    sink_->event(EventType::reset, id_, id, 0, 0);
    return;
  }
  if (!body_ends_stream_ || stream->has_received_fin) return;
  stream->has_received_fin = true;
  sink_->event(EventType::end, id_, id, 0, 0);
  maybe_finish(id, *stream);
}

}  // namespace nz
