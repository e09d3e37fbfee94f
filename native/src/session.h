// One connection: Noise records around yamux frames. Bytes, commands and time in; bytes and events out. No I/O, no
// thread, no clock of its own; one owner calls it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "allowance.h"
#include "counters.h"
#include "fifo.h"
#include "noise_record.h"
#include "record_builder.h"
#include "yamux_frame.h"

namespace nz {

// Why a session is over. The order is that of `FAILURES` in native/binding.ts.
enum class Failure : uint8_t {
  none,
  ended,             // the peer closed the connection
  io,                // the socket failed
  record_unauthentic,
  record_malformed,  // shorter than its tag
  frame_invalid,
  window_exceeded,
  flood,             // more asked for, or owed, than a connection may cost
  exhausted,         // a key has sealed or opened all it may
  aborted,           // by this side
  broken,            // the crypto library failed
};

// The order is that of `EVENTS` in native/binding.ts.
enum class EventType : uint8_t {
  data,          // a: offset in the batch, b: length
  stream,        // the peer opened it
  end,           // the peer writes no more
  reset,         // by the peer
  mark,          // all bytes written before the mark have left the stream's queue
  go_away,       // a: reason
  rtt,           // a: microseconds
  flushed,       // shutdown: everything has left, the last frame included
  closed,        // a: Failure, b: errno; the descriptor is closed, nothing follows
  ring_space,    // the command ring has room again
  busy,          // it moves much: the I/O thread should have it
  calm,          // it moves little: the thread of JS may have it
  released,      // after the command `release`. a: whether it waits to be adopted; else it stays where it is
};

// Where plaintext and events go. Valid during the calls that are given it.
class SessionSink {
 public:
  // Room for `size` bytes, used until the next call.
  virtual uint8_t* reserve(size_t size) = 0;
  // Whether `size` bytes in front of what was reserved may be overwritten for as long as no bytes or events are told.
  virtual bool has_in_front(size_t size) const = 0;
  // `bytes` lie in what was reserved; with `may_merge`, those of one stream may be moved together.
  virtual void data(uint32_t session, uint32_t stream, uint8_t* bytes, size_t size, bool may_merge) = 0;
  virtual void event(EventType type, uint32_t session, uint32_t stream, uint32_t a, uint32_t b) = 0;

 protected:
  ~SessionSink() = default;
};

// What all windows together may have grown by. Of any thread.
class WindowBudget {
 public:
  explicit WindowBudget(uint64_t bytes) : left_(bytes) {}
  bool take(uint64_t bytes) {
    uint64_t left = left_.load(std::memory_order_relaxed);
    while (bytes <= left)
      if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
    return false;
  }
  void give(uint64_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }
  uint64_t left() const { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> left_;
};

struct SessionLimits {
  uint32_t max_inbound_streams = 1'000;
  // Streams the peer opened that this side has not taken up.
  uint32_t max_backlog = 256;
  uint32_t max_window_bytes = 16 * 1024 * 1024;
};

// Streams this side may have opened that the peer has not acknowledged: what others keep to as well.
inline constexpr uint32_t kMaxUnacknowledged = 256;
inline constexpr size_t kMaxPendingPongs = 64;
inline constexpr size_t kMaxPendingResets = 1'024;
inline constexpr size_t kMaxMarks = 16;
// What a new stream may be given of a window that earlier ones have used, and what all streams of a connection may have
// been given like that: a peer that opens streams and sends nothing takes no more of the budget.
inline constexpr uint32_t kMaxShownBytes = 2 * 1024 * 1024;
inline constexpr uint32_t kMaxAheadBytes = 4 * 1024 * 1024;
// Streams that are gone and still listed among those that owe something, beyond as many as there are.
inline constexpr size_t kMaxGoneListed = 256;

class Session {
 public:
  struct Init {
    uint32_t id = 0;
    // Whether this side dialled: its streams have odd ids.
    bool is_client = false;
    RecordCipher sealer;
    RecordCipher opener;
    SessionLimits limits;
    // Whether neighbouring messages of a stream may become one frame, and one event. A stream is bytes, yet some users
    // of libp2p, its compliance suite among them, count on the messages they sent.
    bool merges_messages = true;
    uint64_t* counters = nullptr;
  };
  // `now_us`: a monotonic clock the owner moves.
  Session(Init init, SessionSink& sink, OutPool& pool, WindowBudget& budget, const uint64_t& now_us);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Another owner goes on with it, with the same budget and the same clock.
  void move_to(SessionSink& sink, OutPool& pool, const uint64_t& now_us);

  // What the socket gave. False once the session has failed.
  bool receive(const uint8_t* bytes, size_t size);
  // What was opened before this session took over.
  bool receive_plaintext(const uint8_t* bytes, size_t size);

  // Commands. Those for streams that are gone do nothing.
  void open_stream(uint32_t stream);
  void accept(uint32_t stream);
  void write(uint32_t stream, const uint8_t* bytes, size_t size);
  void close_write(uint32_t stream);
  void reset(uint32_t stream);
  void consumed(uint32_t stream, uint32_t size);
  void mark(uint32_t stream);
  void ping();
  // No more streams; `is_flushed` once everything that was written has been given to the socket, GoAway behind it.
  void shutdown(uint32_t reason);

  // What is to be written to the socket next; null for nothing.
  std::unique_ptr<OutBuffer> take_output();
  // After a failure that the peer should hear of: what was gathered, and a GoAway that says so.
  std::unique_ptr<OutBuffer> last_words();
  // Whether `take_output` may have something.
  bool wants_output() const;
  bool is_flushed() const { return has_sent_go_away_ && builder_.is_empty(); }
  // Gives up memory that an idle connection does not need.
  void trim();

  Failure failure() const { return failure_; }
  void fail(Failure failure) {
    if (failure_ == Failure::none) failure_ = failure;
  }
  uint32_t id() const { return id_; }
  Counters& counters() { return counters_; }
  size_t stream_count() const { return streams_.size(); }
  // What waits for room in the output: answers, and streams that owe something.
  size_t pending() const { return pongs_.size() + resets_.size() + owing_.size() + ready_.size(); }

 private:
  struct Stream {
    uint64_t send_window = yamux::kInitialWindowBytes;
    // What the peer may still send, and what it may send in all before we answer.
    uint32_t receive_window = yamux::kInitialWindowBytes;
    uint32_t window_size = yamux::kInitialWindowBytes;
    // Of that, given before the stream had shown that it needs it.
    uint32_t ahead = 0;
    // Consumed and not yet given back to the peer.
    uint32_t credit = 0;
    uint32_t unconsumed = 0;
    uint64_t window_began_us = 0;
    // Written by JS, not yet in a record: queue[queue_head..].
    std::vector<uint8_t> queue;
    size_t queue_head = 0;
    uint64_t queued_in = 0;
    uint64_t queued_out = 0;
    Fifo<uint64_t> marks;
    uint16_t greeting = 0;  // SYN or ACK, until a frame carried it
    bool is_inbound = false;
    bool awaits_turn = false;  // not greeted yet: too many are not acknowledged
    bool awaits_ack = false;
    bool owes_control = false;  // is in owing_
    bool owes_window = false;
    bool is_ready = false;  // is in ready_
    bool is_write_closed = false;
    bool has_sent_fin = false;
    bool has_received_fin = false;
    bool has_received_bytes = false;

    size_t queued() const { return queue.size() - queue_head; }
  };

  Stream* find(uint32_t id);
  void change_queued(size_t more, size_t fewer);
  void erase(uint32_t id);
  bool is_own(uint32_t id) const { return (id % 2 == 1) == is_client_; }

  // Input (session_input.cc).
  bool open_record(const uint8_t* record, size_t size);
  bool read_plaintext(uint8_t* bytes, size_t size);
  void read_header(const yamux::Header& header);
  void read_stream_header(const yamux::Header& header);
  bool admit(const yamux::Header& header);
  void read_ping(const yamux::Header& header);
  void end_of_frame();
  // Answers with a reset. A peer that takes none of them is cut.
  void refuse(uint32_t stream);
  void spend(uint32_t units) {
    if (!allowance_.spend(units, *now_us_)) fail(Failure::flood);
  }

  // Output (session_output.cc).
  void pump();
  bool pump_answers();
  bool pump_streams();
  bool send_control(uint32_t id, Stream& stream);
  uint32_t growth_of(const Stream& stream);
  bool send_window(uint32_t id, Stream& stream);
  size_t send_bytes(uint32_t id, Stream& stream, const uint8_t* bytes, size_t size);
  bool send_queue(uint32_t id, Stream& stream);
  void owe(uint32_t id, Stream& stream);
  size_t list_bound() const { return 2 * streams_.size() + kMaxGoneListed; }
  template <typename List>
  void forget_gone(List& list, bool Stream::* is_listed);
  void greet_next();
  void make_ready(uint32_t id, Stream& stream);
  void answer_marks(uint32_t id, Stream& stream);
  void maybe_finish(uint32_t id, Stream& stream);

  const uint32_t id_;
  const bool is_client_;
  const SessionLimits limits_;
  const bool merges_messages_;
  SessionSink* sink_;
  WindowBudget& budget_;
  const uint64_t* now_us_;
  Counters counters_;
  RecordCipher opener_;
  RecordBuilder builder_;
  Failure failure_ = Failure::none;

  // The beginning of a record whose end has not arrived, length included.
  std::vector<uint8_t> partial_;
  // The header that is being read, then what is left of the body of its frame.
  uint8_t header_[yamux::kHeaderBytes] = {};
  size_t header_bytes_ = 0;
  uint32_t body_left_ = 0;
  uint32_t body_stream_ = 0;
  bool body_is_wanted_ = false;
  bool body_ends_stream_ = false;
  bool body_resets_stream_ = false;

  std::unordered_map<uint32_t, Stream> streams_;
  uint32_t last_id_ = 0;
  Stream* last_ = nullptr;
  uint32_t inbound_streams_ = 0;
  uint32_t backlog_ = 0;
  uint32_t unacknowledged_ = 0;
  Fifo<uint32_t> awaiting_turn_;
  size_t queued_bytes_ = 0;
  // The largest window that was used up, when that was, and what streams have that were given as much.
  uint32_t shown_window_ = 0;
  uint64_t shown_at_us_ = 0;
  uint32_t ahead_bytes_ = 0;

  std::vector<uint32_t> owing_;
  Fifo<uint32_t> ready_;
  Fifo<uint32_t> pongs_;
  Fifo<uint32_t> resets_;
  Allowance allowance_;
  bool wants_ping_ = false;
  bool is_pinging_ = false;
  uint32_t ping_id_ = 0;
  uint64_t ping_sent_us_ = 0;
  uint64_t rtt_us_ = 0;
  bool is_shutting_down_ = false;
  bool has_sent_go_away_ = false;
  uint32_t go_away_reason_ = 0;
};

}  // namespace nz
