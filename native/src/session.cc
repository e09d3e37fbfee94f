#include "session.h"

#include <utility>

namespace nz {

using yamux::Type;

Session::Session(Init init, SessionSink& sink, OutPool& pool, WindowBudget& budget, const uint64_t& now_us)
    : id_(init.id),
      is_client_(init.is_client),
      limits_(init.limits),
      merges_messages_(init.merges_messages),
      sink_(&sink),
      budget_(budget),
      now_us_(&now_us),
      counters_(init.counters),
      opener_(std::move(init.opener)),
      builder_(std::move(init.sealer), pool, init.merges_messages) {}

Session::~Session() {
  for (const auto& [id, stream] : streams_) budget_.give(stream.window_size - yamux::kInitialWindowBytes);
}

void Session::move_to(SessionSink& sink, OutPool& pool, const uint64_t& now_us) {
  sink_ = &sink;
  builder_.move_to(pool);
  now_us_ = &now_us;
}

Session::Stream* Session::find(uint32_t id) {
  if (last_ != nullptr && last_id_ == id) return last_;
  const auto found = streams_.find(id);
  if (found == streams_.end()) return nullptr;
  last_id_ = id;
  last_ = &found->second;
  return last_;
}

void Session::erase(uint32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  budget_.give(stream.window_size - yamux::kInitialWindowBytes);
  ahead_bytes_ -= stream.ahead;
  change_queued(0, stream.queued());
  counters_.take(Counter::open_streams, 1);
  if (stream.is_inbound) inbound_streams_ -= 1;
  const bool makes_room = stream.awaits_ack;
  if (last_ == &stream) last_ = nullptr;
  streams_.erase(found);
  if (!makes_room) return;
  unacknowledged_ -= 1;
  greet_next();
}

// The next stream that waited for others to be acknowledged.
void Session::greet_next() {
  while (!awaiting_turn_.empty() && unacknowledged_ < kMaxUnacknowledged) {
    const uint32_t id = awaiting_turn_.front();
    awaiting_turn_.pop_front();
    Stream* stream = find(id);
    if (stream == nullptr || !stream->awaits_turn) continue;
    stream->awaits_turn = false;
    stream->awaits_ack = true;
    unacknowledged_ += 1;
    owe(id, *stream);
    if (stream->queued() > 0) make_ready(id, *stream);
  }
}

void Session::change_queued(size_t more, size_t fewer) {
  queued_bytes_ += more;
  queued_bytes_ -= fewer;
  counters_.set(Counter::queued_bytes, queued_bytes_);
}

void Session::open_stream(uint32_t id) {
  if (failure_ != Failure::none || is_shutting_down_ || !is_own(id)) return;
  const auto [found, is_new] = streams_.try_emplace(id);
  if (!is_new) return;
  Stream& stream = found->second;
  stream.greeting = yamux::kSyn;
  stream.window_began_us = *now_us_;
  counters_.add(Counter::open_streams, 1);
  if (unacknowledged_ >= kMaxUnacknowledged) {
    stream.awaits_turn = true;
    awaiting_turn_.push_back(id);
    return;
  }
  stream.awaits_ack = true;
  unacknowledged_ += 1;
  owe(id, stream);
  // At once and by itself, as others do it.
  send_control(id, stream);
}

// Every stream the peer opened is taken up once, also when it is gone by then: that is what bounds the backlog.
void Session::accept(uint32_t id) {
  if (backlog_ > 0) backlog_ -= 1;
  Stream* stream = find(id);
  if (stream == nullptr || !stream->is_inbound || stream->greeting != 0) return;
  stream->greeting = yamux::kAck;
  owe(id, *stream);
}

void Session::write(uint32_t id, const uint8_t* bytes, size_t size) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->is_write_closed || failure_ != Failure::none) {
    counters_.add(Counter::dropped_bytes, size);
    return;
  }
  stream->queued_in += size;
  size_t sent = 0;
  if (stream->queued() == 0) sent = send_bytes(id, *stream, bytes, size);
  if (sent == size) return;
  stream->queue.insert(stream->queue.end(), bytes + sent, bytes + size);
  change_queued(size - sent, 0);
  if (stream->send_window == 0) counters_.add(Counter::window_stalls, 1);
  make_ready(id, *stream);
}

void Session::close_write(uint32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->is_write_closed) return;
  stream->is_write_closed = true;
  if (!stream->awaits_turn) owe(id, *stream);
}

void Session::reset(uint32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  const bool is_unknown_to_peer = stream->greeting == yamux::kSyn;
  erase(id);
  if (!is_unknown_to_peer) refuse(id);
}

// Credit goes back to the peer by half windows: one small frame for many, and never so late that it has to wait.
void Session::consumed(uint32_t id, uint32_t size) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  if (size > stream->unconsumed) size = stream->unconsumed;
  stream->unconsumed -= size;
  stream->credit += size;
  if (stream->has_received_fin || stream->credit < stream->window_size / 2) return;
  stream->owes_window = true;
  owe(id, *stream);
}

void Session::mark(uint32_t id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  // Too many to keep: the oldest is answered early, so that nobody waits for it.
  if (stream->marks.size() >= kMaxMarks) {
    stream->marks.pop_front();
    sink_->event(EventType::mark, id_, id, 0, 0);
  }
  stream->marks.push_back(stream->queued_in);
  answer_marks(id, *stream);
}

void Session::ping() {
  if (!is_pinging_) wants_ping_ = true;
}

void Session::shutdown(uint32_t reason) {
  if (is_shutting_down_) return;
  is_shutting_down_ = true;
  go_away_reason_ = reason;
}

void Session::trim() {
  if (partial_.empty() && partial_.capacity() > 0) std::vector<uint8_t>().swap(partial_);
  if (owing_.empty() && owing_.capacity() > 0) std::vector<uint32_t>().swap(owing_);
  for (Fifo<uint32_t>* each : {&awaiting_turn_, &ready_, &pongs_, &resets_}) each->trim();
}

}  // namespace nz
