// Sessions on their sockets: one I/O thread for all connections of a Node environment. JS attaches sockets, writes
// commands into a ring and takes batches; everything else happens on the thread.
//
// Who owns what: the engine owns each connection from `attach` until `closed` is told; the thread alone touches
// connections, driver and pools; `attach`, `wake`, `take` and `stop` are the JS thread's.
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
  // kSharedSlabs * kSlabBytes for the plaintext of batches; null: of the heap.
  uint8_t* slabs = nullptr;
  bool may_use_uring = true;
  UringSizes uring_sizes;
  // What all receive windows together may grow by beyond their first size.
  uint64_t window_budget_bytes = 0;
  uint32_t keep_alive_ms = 30'000;
  // Called on the I/O thread when batches wait; once until they have been taken.
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
  // Starts the thread. Null when not even epoll works; `error` is the errno then.
  static std::unique_ptr<Engine> create(const EngineInit& init, int& error);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void attach(AttachInit init);
  void wake();
  // Ends every connection and the thread. Nothing is notified afterwards. May be called again.
  void stop();

  bool take(Batch& batch, bool& has_more);
  SlabPool& slabs() { return batches_.pool(); }
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
    Failure failure = Failure::none;
    int error = 0;
  };

  explicit Engine(const EngineInit& init);

  void run_thread();
  int start_driver();
  void run();
  void take_attached();
  void open(AttachInit init);
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
  int next_timeout_ms() const;

  void on_received(Socket& socket, const uint8_t* bytes, size_t size) override;
  void on_ended(Socket& socket, int error) override;
  void on_sent(Socket& socket) override;
  void on_removed(Socket& socket) override;
  bool is_input_paused() const override { return batches_.is_full(); }

  const EngineInit init_;
  CommandReader commands_;
  ControlBlock control_;
  BatchWriter batches_;
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
  std::atomic<bool> has_attached_ = false;
  std::atomic<bool> was_full_ = false;

  // The thread's.
  OutPool out_pool_;
  WindowBudget budget_;
  uint64_t now_us_ = 0;
  uint64_t next_tick_us_ = 0;
  uint64_t next_ping_us_ = 0;
  std::unordered_map<uint32_t, std::unique_ptr<Connection>> connections_;
  Connection* last_ = nullptr;
  std::vector<Connection*> dirty_;
  std::vector<uint32_t> removed_;
  std::unique_ptr<Driver> driver_;
};

}  // namespace nz
