#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace nz {

namespace {

// Commands of one turn; sockets have theirs after it.
constexpr size_t kTurnBytes = 256 * 1024;
// How long `stop` lets the kernel take to give buffers back.
constexpr uint64_t kStopUs = 2'000'000;

uint64_t monotonic_us() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_nsec) / 1'000;
}

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineInit& init, int& error) {
  std::unique_ptr<Engine> engine(new Engine(init));
  engine->wake_fd_ = init.is_inline ? timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
                                    : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (engine->wake_fd_ < 0) {
    error = errno;
    return nullptr;
  }
  if (init.is_inline) {
    error = engine->start_inline();
    return error == 0 ? std::move(engine) : nullptr;
  }
  // The ring belongs to the thread that makes it, so the thread makes it.
  const auto main = [](void* self) -> void* {
    static_cast<Engine*>(self)->run_thread();
    return nullptr;
  };
  error = pthread_create(&engine->thread_, nullptr, main, engine.get());
  if (error != 0) return nullptr;
  engine->has_thread_ = true;
  engine->started_.acquire();
  error = engine->start_error_;
  if (error != 0) return nullptr;
  return engine;
}

Engine::Engine(const EngineInit& init)
    : init_(init),
      commands_(init.commands, init.commands_bytes, ControlBlock(init.control)),
      control_(init.control),
      batches_(init.slabs),
      budget_(init.budget != nullptr ? init.budget : std::make_shared<WindowBudget>(init.window_budget_bytes)) {}

Engine::~Engine() {
  stop();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void Engine::run_thread() {
  start_error_ = start_driver();
  const bool is_started = start_error_ == 0;
  started_.release();
  if (is_started) run();
}

int Engine::start_driver() {
  pthread_setname_np(pthread_self(), "nz-io");
  // Signals are the main thread's.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  if (init_.may_use_uring) {
    driver_ = make_uring_driver(*this, init_.uring_sizes);
    uring_error_ = driver_ == nullptr ? ENOSYS : driver_->init(wake_fd_);
    if (uring_error_ != 0) driver_ = nullptr;
  }
  if (driver_ == nullptr) {
    driver_ = make_epoll_driver(*this, Pace::whole);
    if (const int error = driver_->init(wake_fd_); error != 0) return error;
  }
  backend_ = driver_->backend();
  return 0;
}

void Engine::attach(AttachInit init) {
  if (init_.is_inline) {
    on_woken();
    open(std::move(init));
    return publish();
  }
  {
    const std::lock_guard lock(attached_mutex_);
    attached_.push_back(std::move(init));
  }
  has_attached_.store(true, std::memory_order_release);
  wake();
}

void Engine::wake() {
  if (init_.is_inline) return run_commands_now();
  const uint64_t one = 1;
  while (write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Engine::stop() {
  if (init_.is_inline && driver_ != nullptr) {
    is_stopping_.store(true, std::memory_order_release);
    close_all();
  }
  if (!has_thread_) return;
  has_thread_ = false;
  is_stopping_.store(true, std::memory_order_release);
  wake();
  pthread_join(thread_, nullptr);
  const std::lock_guard lock(attached_mutex_);
  for (AttachInit& init : attached_) ::close(init.fd);
  attached_.clear();
  for (const auto* list : {&arrived_, &released_})
    for (const std::unique_ptr<Connection>& connection : *list) ::close(connection->fd);
  arrived_.clear();
  released_.clear();
}

bool Engine::take(Batch& batch, bool& has_more) {
  const bool has_batch = batches_.take(batch, has_more);
  // The thread reads on when it was waiting for this.
  if (has_batch && was_full_.exchange(false, std::memory_order_acq_rel)) wake();
  return has_batch;
}

void Engine::run() {
  now_us_ = monotonic_us();
  next_tick_us_ = now_us_ + kTickUs;
  next_ping_us_ = now_us_ + uint64_t{init_.keep_alive_ms} * 1'000;
  while (!is_stopping_.load(std::memory_order_acquire)) {
    control_.store(Control::is_sleeping, 1);
    // Asked after saying so: a command written in between rings the bell.
    const bool has_work = !commands_.is_empty() || has_attached_.load(std::memory_order_acquire);
    if (batches_.is_full()) was_full_.store(true, std::memory_order_release);
    // As above: JS may have taken one in between.
    const bool is_paused = batches_.is_full();
    driver_->wait(has_work || (!is_paused && was_full_.load(std::memory_order_acquire)) ? 0 : next_timeout_ms());
    if (!is_paused) was_full_.store(false, std::memory_order_release);
    control_.store(Control::is_sleeping, 0);
    on_woken();
    run_turn();
  }
  close_all();
}

void Engine::run_turn() {
  commands_.look();
  take_attached();
  run_commands();
  if (now_us_ >= next_tick_us_) tick();
  flush();
  publish();
  bury();
  part();
}

int Engine::next_timeout_ms() const {
  if (connections_.empty()) return -1;
  return next_tick_us_ <= now_us_ ? 0 : static_cast<int>((next_tick_us_ - now_us_) / 1'000 + 1);
}

void Engine::take_attached() {
  if (!has_attached_.exchange(false, std::memory_order_acq_rel)) return;
  std::vector<AttachInit> attached;
  std::vector<std::unique_ptr<Connection>> arrived;
  {
    const std::lock_guard lock(attached_mutex_);
    attached.swap(attached_);
    arrived.swap(arrived_);
  }
  for (AttachInit& init : attached) open(std::move(init));
  for (std::unique_ptr<Connection>& connection : arrived) settle(std::move(connection));
}

void Engine::open(AttachInit init) {
  const uint32_t id = init.session.id;
  if (init_.is_inline && connections_.empty()) arm_tick();
  auto made = std::make_unique<Connection>(std::move(init.session), batches_, out_pool_, *budget_, now_us_);
  Connection& connection = *made;
  connection.fd = init.fd;
  connections_[id] = std::move(made);
  Session& session = connection.session;
  // The first round trip is measured at once; windows grow by it.
  session.ping();
  mark_dirty(connection);
  session.receive_plaintext(init.plaintext.data(), init.plaintext.size());
  session.receive(init.sealed.data(), init.sealed.size());
  driver_->add(connection);
  check(connection);
}

void Engine::run_commands() {
  // JS waits while its own thread runs them: all of them then.
  const size_t max_bytes = init_.is_inline ? SIZE_MAX : kTurnBytes;
  const bool is_sound =
      commands_.read(max_bytes, [this](const Command& command, const uint8_t* bytes) { run_command(command, bytes); });
  if (!is_sound) {
    // A ring that JS has broken is read no further; whoever wrote it loses its connections.
    for (auto& [id, connection] : connections_) close(*connection, Failure::broken, EPROTO, true);
  }
  if (control_.load(Control::is_waiting) != 0 && control_.exchange(Control::is_waiting, 0) != 0)
    batches_.event(EventType::ring_space, 0, 0, 0, 0);
}

void Engine::run_command(const Command& command, const uint8_t* bytes) {
  if (last_ == nullptr || last_->session.id() != command.session) {
    const auto found = connections_.find(command.session);
    if (found == connections_.end()) return;
    last_ = found->second.get();
  }
  Connection& connection = *last_;
  if (connection.is_closing) return;
  switch (command.type) {
    case CommandType::ping:
      connection.session.ping();
      break;
    case CommandType::shutdown:
      connection.session.shutdown(command.argument);
      break;
    case CommandType::abort:
      return close(connection, Failure::aborted, 0, command.argument != 0);
    case CommandType::release:
      return release(connection);
    default:
      run_stream_command(connection, command, bytes);
  }
  mark_dirty(connection);
  check(connection);
}

void Engine::run_stream_command(Connection& connection, const Command& command, const uint8_t* bytes) {
  Session& session = connection.session;
  switch (command.type) {
    case CommandType::open:
      return session.open_stream(command.stream);
    case CommandType::accept:
      return session.accept(command.stream);
    case CommandType::write:
      return session.write(command.stream, bytes, command.argument);
    case CommandType::close_write:
      return session.close_write(command.stream);
    case CommandType::reset:
      return session.reset(command.stream);
    case CommandType::consumed:
      return session.consumed(command.stream, command.argument);
    case CommandType::mark:
      return session.mark(command.stream);
    default:
      return;
  }
}

void Engine::tick() {
  next_tick_us_ = now_us_ + kTickUs;
  if (init_.is_inline && !connections_.empty()) arm_tick();
  batches_.pool()->trim();
  const bool is_ping_due = init_.keep_alive_ms > 0 && now_us_ >= next_ping_us_;
  if (is_ping_due) next_ping_us_ = now_us_ + uint64_t{init_.keep_alive_ms} * 1'000;
  for (auto& [id, connection] : connections_) {
    connection->session.trim();
    note_tick(*connection);
    if (!is_ping_due || connection->is_closing) continue;
    connection->session.ping();
    mark_dirty(*connection);
  }
}

void Engine::mark_dirty(Connection& connection) {
  if (connection.is_dirty || connection.is_closing) return;
  connection.is_dirty = true;
  dirty_.push_back(&connection);
}

void Engine::flush() {
  // A send that completes at once makes its connection dirty again: its turn is in this same pass.
  for (size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->is_dirty = false;
    flush(*dirty_[i]);
  }
  dirty_.clear();
}

void Engine::flush(Connection& connection) {
  if (connection.is_closing || connection.is_leaving || connection.sending != nullptr) return;
  Session& session = connection.session;
  connection.sending = session.take_output();
  if (connection.sending != nullptr) return driver_->send(connection);
  check(connection);
  if (connection.is_closing || connection.is_flushed || !session.is_flushed()) return;
  connection.is_flushed = true;
  batches_.event(EventType::flushed, session.id(), 0, 0, 0);
}

void Engine::publish() {
  if (batches_.publish() && !is_quiet_) init_.notify(init_.context);
}

void Engine::check(Connection& connection) {
  if (connection.is_closing || connection.session.failure() == Failure::none) return;
  close(connection, connection.session.failure(), 0, true);
}

void Engine::close(Connection& connection, Failure failure, int error, bool is_reset) {
  if (connection.is_closing) return;
  connection.is_closing = true;
  connection.failure = failure;
  connection.error = error;
  connection.session.fail(failure);
  if (connection.sending == nullptr) {
    // Said once, without waiting: the peer may not even listen.
    std::unique_ptr<OutBuffer> words = connection.session.last_words();
    if (words != nullptr) {
      (void)!::send(connection.fd, words->bytes, words->used, MSG_DONTWAIT | MSG_NOSIGNAL);
      is_reset = false;
      out_pool_.give(std::move(words));
    }
  }
  if (is_reset) {
    const linger abrupt = {1, 0};
    setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  }
  driver_->remove(connection);
}

void Engine::close_all() {
  for (auto& [id, connection] : connections_) close(*connection, Failure::aborted, 0, false);
  const uint64_t until_us = monotonic_us() + kStopUs;
  bury();
  while (!connections_.empty() && monotonic_us() < until_us) {
    driver_->wait(10);
    bury();
  }
  // What the kernel still holds after that long is never freed under it.
  for (auto& [id, connection] : connections_) (void)connection.release();
  connections_.clear();
  driver_ = nullptr;
}

void Engine::on_woken() { now_us_ = monotonic_us(); }

void Engine::on_received(Socket& socket, const uint8_t* bytes, size_t size) {
  Connection& connection = static_cast<Connection&>(socket);
  if (connection.is_closing) return;
  connection.session.counters().add(Counter::receive_completions, 1);
  note_moved(connection, size);
  connection.session.receive(bytes, size);
  if (connection.session.wants_output()) mark_dirty(connection);
  check(connection);
}

void Engine::on_ended(Socket& socket, int error) {
  close(static_cast<Connection&>(socket), error == 0 ? Failure::ended : Failure::io, error, error != 0);
}

void Engine::on_sent(Socket& socket) {
  Connection& connection = static_cast<Connection&>(socket);
  Counters& counters = connection.session.counters();
  counters.add(Counter::sent_bytes, connection.sending->used);
  note_moved(connection, connection.sending->used);
  counters.add(Counter::send_completions, 1);
  out_pool_.give(std::move(connection.sending));
  mark_dirty(connection);
}

void Engine::on_detached(Socket& socket) { detached_.push_back(static_cast<Connection&>(socket).session.id()); }

void Engine::on_removed(Socket& socket) { removed_.push_back(static_cast<Connection&>(socket).session.id()); }

}  // namespace nz
