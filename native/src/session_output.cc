// What this side sends: answers first, then greetings, credit and ends of streams, then bytes, stream by stream.
#include <algorithm>
#include <utility>

#include "session.h"

namespace nz {

using yamux::Type;

namespace {

// Bytes of one stream before the next one has its turn.
constexpr size_t kTurnBytes = 64 * 1024;
// A queue that was this large gives its memory back when it is empty.
constexpr size_t kKeptQueueBytes = 64 * 1024;
// What both ends may need to wake up for a window and its credit.
constexpr uint64_t kWakeUpsUs = 4'000;
// How long a window that was used up counts for streams that are opened later.
constexpr uint64_t kShownUs = 60'000'000;

}  // namespace

std::unique_ptr<OutBuffer> Session::take_output() {
  if (failure_ != Failure::none) return nullptr;
  pump();
  const uint64_t records = builder_.records();
  std::unique_ptr<OutBuffer> output = builder_.take();
  counters_.add(Counter::sent_records, builder_.records() - records);
  counters_.set(Counter::sent_frames, builder_.frames());
  if (builder_.result() == RecordResult::exhausted) fail(Failure::exhausted);
  if (builder_.result() == RecordResult::broken) fail(Failure::broken);
  return output;
}

std::unique_ptr<OutBuffer> Session::last_words() {
  const bool is_protocol_error = failure_ == Failure::frame_invalid || failure_ == Failure::window_exceeded ||
                                 failure_ == Failure::flood;
  if (!is_protocol_error || has_sent_go_away_) return nullptr;
  builder_.control({Type::go_away, 0, 0, yamux::kGoAwayProtocolError});
  return builder_.take();
}

bool Session::wants_output() const {
  return failure_ == Failure::none &&
         (!builder_.is_empty() || !pongs_.empty() || !resets_.empty() || !owing_.empty() || !ready_.empty() ||
          wants_ping_ || (is_shutting_down_ && !has_sent_go_away_));
}

void Session::pump() {
  if (!pump_answers() || !pump_streams()) return;
  if (!is_shutting_down_ || has_sent_go_away_ || queued_bytes_ > 0 || !awaiting_turn_.empty()) return;
  has_sent_go_away_ = builder_.control({Type::go_away, 0, 0, go_away_reason_});
}

// False when the buffer is full.
bool Session::pump_answers() {
  for (; !pongs_.empty(); pongs_.pop_front())
    if (!builder_.control({Type::ping, yamux::kAck, 0, pongs_.front()})) return false;
  for (; !resets_.empty(); resets_.pop_front())
    if (!builder_.control({Type::window_update, yamux::kRst, resets_.front(), 0})) return false;
  if (wants_ping_) {
    if (!builder_.control({Type::ping, yamux::kSyn, 0, ping_id_ + 1})) return false;
    wants_ping_ = false;
    is_pinging_ = true;
    ping_id_ += 1;
    ping_sent_us_ = *now_us_;
  }
  return true;
}

bool Session::pump_streams() {
  while (!ready_.empty()) {
    const uint32_t id = ready_.front();
    Stream* stream = find(id);
    ready_.pop_front();
    if (stream == nullptr || !stream->is_ready) continue;
    stream->is_ready = false;
    const bool is_done = send_queue(id, *stream);
    if (stream->queued() > 0 && stream->send_window > 0) {
      if (is_done) {
        make_ready(id, *stream);
      } else {
        stream->is_ready = true;
        ready_.push_front(id);
        return false;
      }
    }
  }
  // After the bytes, so that an end or an acknowledgement may travel with them.
  size_t done = 0;
  bool is_full = false;
  for (; done < owing_.size() && !is_full; ++done) {
    Stream* stream = find(owing_[done]);
    if (stream == nullptr || !stream->owes_control) continue;
    is_full = !send_control(owing_[done], *stream);
    if (is_full) break;
  }
  owing_.erase(owing_.begin(), owing_.begin() + static_cast<std::ptrdiff_t>(done));
  return !is_full;
}

// Everything a stream owes besides bytes. False when the buffer is full; the stream may be gone afterwards.
bool Session::send_control(uint32_t id, Stream& stream) {
  if (stream.owes_window || (stream.greeting & (yamux::kSyn | yamux::kAck)) != 0) {
    if (!send_window(id, stream)) return false;
  }
  if (stream.is_write_closed && !stream.has_sent_fin && stream.queued() == 0) {
    if (!builder_.control({Type::window_update, yamux::kFin, id, 0})) return false;
    stream.has_sent_fin = true;
  }
  stream.owes_control = false;
  maybe_finish(id, stream);
  return true;
}

// What a window grows by now; taken from the budget. One that is used up within four round trips is too small for the
// path: it doubles. On a fast path the threads that have to wake up at both ends are slower than the wire. The first
// streams of a connection have shown what the path takes: later ones begin with that, as far as `kMaxAheadBytes` go.
uint32_t Session::growth_of(const Stream& stream) {
  uint32_t wanted = 0;
  if (stream.owes_window) {
    const bool is_fast = rtt_us_ > 0 && *now_us_ - stream.window_began_us <= std::max(4 * rtt_us_, kWakeUpsUs);
    if (is_fast) wanted = std::min(stream.window_size, limits_.max_window_bytes - stream.window_size);
  } else if (stream.greeting != 0 && *now_us_ - shown_at_us_ <= kShownUs) {
    wanted = shown_window_ - std::min(shown_window_, stream.window_size);
    if (ahead_bytes_ + wanted > kMaxAheadBytes) wanted = 0;
  }
  return wanted > 0 && budget_.take(wanted) ? wanted : 0;
}

// Greets, and gives credit back.
bool Session::send_window(uint32_t id, Stream& stream) {
  const uint32_t growth = growth_of(stream);
  const uint32_t credit = stream.owes_window ? stream.credit : 0;
  if (!builder_.control({Type::window_update, stream.greeting, id, credit + growth})) {
    budget_.give(growth);
    return false;
  }
  stream.greeting = 0;
  stream.receive_window += credit + growth;
  stream.window_size += growth;
  if (stream.window_size > counters_.get(Counter::receive_window_bytes))
    counters_.set(Counter::receive_window_bytes, stream.window_size);
  if (!stream.owes_window) {
    stream.ahead = growth;
    ahead_bytes_ += growth;
    return true;
  }
  stream.owes_window = false;
  stream.credit = 0;
  stream.window_began_us = *now_us_;
  if (growth > 0) shown_window_ = std::min(std::max(shown_window_, stream.window_size), kMaxShownBytes);
  // One that uses what it was given has shown it again.
  if (growth > 0 || stream.ahead > 0) shown_at_us_ = *now_us_;
  return true;
}

size_t Session::send_bytes(uint32_t id, Stream& stream, const uint8_t* bytes, size_t size) {
  if (stream.awaits_turn || (stream.greeting == yamux::kSyn && !send_window(id, stream))) return 0;
  const size_t allowed = static_cast<size_t>(std::min<uint64_t>(size, stream.send_window));
  if (allowed == 0) return 0;
  const size_t sent = builder_.data(id, stream.greeting, bytes, allowed);
  if (sent == 0) return 0;
  stream.greeting = 0;
  stream.send_window -= sent;
  stream.queued_out += sent;
  answer_marks(id, stream);
  return sent;
}

// One turn. False when the buffer is full.
bool Session::send_queue(uint32_t id, Stream& stream) {
  const size_t wanted = std::min({stream.queued(), kTurnBytes, static_cast<size_t>(stream.send_window)});
  const size_t sent = send_bytes(id, stream, stream.queue.data() + stream.queue_head, wanted);
  stream.queue_head += sent;
  change_queued(0, sent);
  if (stream.queued() == 0) {
    if (stream.queue.capacity() > kKeptQueueBytes) {
      std::vector<uint8_t>().swap(stream.queue);
    } else {
      stream.queue.clear();
    }
    stream.queue_head = 0;
    if (stream.is_write_closed) owe(id, stream);
  } else if (stream.queue_head > stream.queue.size() / 2) {
    stream.queue.erase(stream.queue.begin(), stream.queue.begin() + static_cast<std::ptrdiff_t>(stream.queue_head));
    stream.queue_head = 0;
  }
  return sent == wanted;
}

void Session::owe(uint32_t id, Stream& stream) {
  if (stream.owes_control) return;
  if (owing_.size() > list_bound()) forget_gone(owing_, &Stream::owes_control);
  stream.owes_control = true;
  owing_.push_back(id);
}

void Session::make_ready(uint32_t id, Stream& stream) {
  if (stream.is_ready || stream.awaits_turn || stream.send_window == 0) return;
  if (ready_.size() > list_bound()) forget_gone(ready_, &Stream::is_ready);
  stream.is_ready = true;
  ready_.push_back(id);
}

// Streams that are gone stay in a list until it is worked off, which a peer that does not read prevents. Each that is
// there stays once, in its place: the same number may have come several times.
template <typename List>
void Session::forget_gone(List& list, bool Stream::* is_listed) {
  using std::erase_if;
  erase_if(list, [&](uint32_t id) {
    Stream* stream = find(id);
    return stream == nullptr || !std::exchange(stream->*is_listed, false);
  });
  for (const uint32_t id : list) find(id)->*is_listed = true;
}

void Session::answer_marks(uint32_t id, Stream& stream) {
  for (; !stream.marks.empty() && stream.marks.front() <= stream.queued_out; stream.marks.pop_front())
    sink_->event(EventType::mark, id_, id, 0, 0);
}

// Both sides have said their end: the stream is over. Credit still owed to it is of no use to anybody.
void Session::maybe_finish(uint32_t id, Stream& stream) {
  if (stream.has_sent_fin && stream.has_received_fin) erase(id);
}

}  // namespace nz
