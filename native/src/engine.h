// Sessions on their sockets. JS attaches sockets, writes commands into a ring and takes batches; everything else happens
// on the engine's thread: one of its own, or none, and then in the turns it is given on the thread of JS.
//
// A Node environment has one of each. Connections begin without a thread: an answer then needs no other thread to wake
// up. Those that move much are handed over to the thread, and come back when they are calm.
//
// Who owns what: an engine owns each connection from `attach`, `hand_over` or `adopt` until `closed` is told or the next
// of them. Its thread alone touches connections, driver and pools; all public functions are the JS thread's.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <semaphore>
#include <unordered_map>
#include <vector>

#include "batch.h"
#include "command_ring.h"
#include "driver.h"
#include "session.h"

namespace nz {

struct EngineInit {
  const uint8_t* commands = nullptr;
  size_t commands_bytes = 0;
  uint32_t* control = nullptr;
  // For the plaintext of batches; null: of the heap.
  std::shared_ptr<SlabPool> slabs;
  bool may_use_uring = true;
  UringSizes uring_sizes;
  // What all receive windows together may grow by beyond their first size. `budget`: that of another engine in its place.
  uint64_t window_budget_bytes = 0;
  std::shared_ptr<WindowBudget> budget;
  uint32_t keep_alive_ms = 30'000;
  // Without a thread: with epoll, in turns. When all connections move `busy_bytes` within `busy_us`, those that have part
  // in it are said to be busy.
  bool is_inline = false;
  uint64_t busy_bytes = 256 * 1024;
  uint64_t busy_us = 10'000;
  // With a thread: a connection that moves less than `busy_bytes` in each of `calm_ticks` of a second is said to be calm;
  // 0: none is.
  uint32_t calm_ticks = 0;
  // Called on the engine's thread when batches wait, unless `run_sockets` says it; once until they have been taken.
  void (*notify)(void* context) = nullptr;
  void* context = nullptr;
};

struct AttachInit {
  Session::Init session;
  // Given to the engine, which closes it.
  int fd = -1;
  // Received before: sealed bytes of the socket, and plaintext opened from them.
  std::vector<uint8_t> sealed;
  std::vector<uint8_t> plaintext;
};

class Engine final : private DriverEvents {
 public:
  // Starts the thread, if it is to have one. Null when not even epoll works; `error` is the errno then.
  static std::unique_ptr<Engine> create(const EngineInit& init, int& error);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void attach(AttachInit init);
  void wake();

  // Without a thread: a turn of what the sockets have, which is a bounded piece of it. True when batches wait.
  bool run_sockets();
  // Without a thread: a turn of what JS has written.
  void run_commands_now();
  // Readable while `run_sockets` has something to do.
  int watch_fd() const { return driver_->watch_fd(); }
  // Gives a connection to an engine with a thread: what it has told waits here, what it will tell comes there, and so does
  // what is written from now on. False when there is none that could be given.
  bool hand_over(uint32_t id, Engine& to);
  // Takes a connection that `from` has released.
  bool adopt(uint32_t id, Engine& from);
  const std::shared_ptr<WindowBudget>& budget() const { return budget_; }

  // Ends every connection and the thread. Nothing is notified afterwards. May be called again.
  void stop();

  bool take(Batch& batch, bool& has_more);
  size_t waiting_batches() const { return batches_.waiting(); }
  const std::shared_ptr<SlabPool>& slabs() { return batches_.pool(); }
  Backend backend() const { return backend_; }
  // Why io_uring is not used; 0 when it is, or was not wanted.
  int uring_error() const { return uring_error_; }

 private:
  struct Connection : Socket {
    Connection(Session::Init init, BatchWriter& sink, OutPool& pool, WindowBudget& budget, const uint64_t& now)
        : session(std::move(init), sink, pool, budget, now) {}
    Session session;
    bool is_dirty = false;
    bool is_closing = false;
    bool is_flushed = false;
    bool is_leaving = false;
    bool is_busy = false;
    // Moved since then.
    uint64_t moved_bytes = 0;
    uint64_t moved_since_us = 0;
    uint32_t calm_ticks = 0;
    Failure failure = Failure::none;
    int error = 0;
  };

  explicit Engine(const EngineInit& init);

  void run_thread();
  int start_driver();
  int start_inline();
  void run();
  void run_turn();
  void arm_tick();
  void take_attached();
  void open(AttachInit init);
  void settle(std::unique_ptr<Connection> connection);
  void release(Connection& connection);
  void forget(Connection& connection);
  void note_moved(Connection& connection, size_t size);
  void note_tick(Connection& connection);
  void run_commands();
  void run_command(const Command& command, const uint8_t* bytes);
  void run_stream_command(Connection& connection, const Command& command, const uint8_t* bytes);
  void tick();
  void flush();
  void flush(Connection& connection);
  void publish();
  void mark_dirty(Connection& connection);
  void check(Connection& connection);
  void close(Connection& connection, Failure failure, int error, bool is_reset);
  void close_all();
  void bury();
  void part();
  int next_timeout_ms() const;

  void on_woken() override;
  void on_received(Socket& socket, const uint8_t* bytes, size_t size) override;
  void on_ended(Socket& socket, int error) override;
  void on_sent(Socket& socket) override;
  void on_removed(Socket& socket) override;
  void on_detached(Socket& socket) override;
  bool is_input_paused() const override {
    return init_.is_inline ? turn_bytes_ >= kInlineTurnBytes : batches_.is_full();
  }

  static constexpr uint64_t kTickUs = 1'000'000;
  // Received bytes of a turn between which JS does other things.
  static constexpr size_t kInlineTurnBytes = 256 * 1024;

  const EngineInit init_;
  CommandReader commands_;
  ControlBlock control_;
  BatchWriter batches_;
  // Ends a wait of the driver: an eventfd, or without a thread the timer of ticks.
  int wake_fd_ = -1;
  pthread_t thread_ = {};
  bool has_thread_ = false;
  std::binary_semaphore started_{0};
  std::atomic<bool> is_stopping_ = false;
  Backend backend_ = Backend::none;
  int uring_error_ = 0;
  int start_error_ = 0;

  std::mutex attached_mutex_;
  std::vector<AttachInit> attached_;
  std::vector<std::unique_ptr<Connection>> arrived_;
  std::vector<std::unique_ptr<Connection>> released_;
  std::atomic<bool> has_attached_ = false;
  std::atomic<bool> was_full_ = false;

  // The thread's.
  OutPool out_pool_;
  std::shared_ptr<WindowBudget> budget_;
  uint64_t now_us_ = 0;
  uint64_t next_tick_us_ = 0;
  uint64_t next_ping_us_ = 0;
  std::unordered_map<uint32_t, std::unique_ptr<Connection>> connections_;
  Connection* last_ = nullptr;
  std::vector<Connection*> dirty_;
  std::vector<uint32_t> removed_;
  std::vector<uint32_t> detached_;
  size_t turn_bytes_ = 0;
  // Of all connections.
  uint64_t moved_bytes_ = 0;
  uint64_t moved_since_us_ = 0;
  bool is_quiet_ = false;
  std::unique_ptr<Driver> driver_;
};

}  // namespace nz
