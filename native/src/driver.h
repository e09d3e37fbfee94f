// How bytes get from and to sockets: io_uring (uring_driver.cc) or epoll (epoll_driver.cc). All calls come from the one
// thread that runs the engine; a driver calls back only from within the calls it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "record_builder.h"

namespace nz {

enum class Backend : uint8_t { none, io_uring, epoll };

// A socket as a driver sees it. The engine owns it and keeps it until `on_removed`.
struct Socket {
  int fd = -1;
  // Being written; the driver's until `on_sent`, or `on_removed`.
  std::unique_ptr<OutBuffer> sending;
  bool is_removing = false;
  bool is_detaching = false;
  // Of the drivers.
  uint32_t operations = 0;  // io_uring: completions to come
  uint32_t interest = 0;  // epoll
};

class DriverEvents {
 public:
  // `wait` has waited: what time it is has changed.
  virtual void on_woken() = 0;
  // `bytes` are the driver's, for the time of the call. False: the socket is being removed.
  virtual void on_received(Socket& socket, const uint8_t* bytes, size_t size) = 0;
  // No more comes: 0 for an orderly end, else an errno.
  virtual void on_ended(Socket& socket, int error) = 0;
  // `sending` has been written and is the engine's again.
  virtual void on_sent(Socket& socket) = 0;
  // Nothing of the driver refers to the socket any more.
  virtual void on_removed(Socket& socket) = 0;
  // As after `on_removed`, and nothing that came or was to be sent has been lost.
  virtual void on_detached(Socket& socket) = 0;
  // Whether received bytes must wait.
  virtual bool is_input_paused() const = 0;

 protected:
  ~DriverEvents() = default;
};

class Driver {
 public:
  virtual ~Driver() = default;
  // 0, or the errno that says why this driver cannot work here. `wake_fd`: an eventfd that ends `wait`.
  virtual int init(int wake_fd) = 0;
  virtual void add(Socket& socket) = 0;
  // Writes `socket.sending`.
  virtual void send(Socket& socket) = 0;
  virtual void remove(Socket& socket) = 0;
  // Lets go of a socket that another driver goes on with. What comes before `on_detached` is passed on. With io_uring not
  // while `sending`.
  virtual void detach(Socket& socket) = 0;
  // Runs what is due; waits at most `timeout_ms`, -1 for ever.
  virtual void wait(int timeout_ms) = 0;
  virtual Backend backend() const = 0;
  // Readable while `wait` has something to do, for whoever waits elsewhere; -1 when there is no such descriptor.
  virtual int watch_fd() const { return -1; }
};

// Entries of a ring; powers of two. Smaller ones are slower and lose nothing.
struct UringSizes {
  uint32_t submissions = 256;
  uint32_t completions = 4'096;
};

// How epoll is used: by a thread that has nothing else to do, or a little at a time in between.
enum class Pace : uint8_t { whole, small };

std::unique_ptr<Driver> make_epoll_driver(DriverEvents& events, Pace pace);
std::unique_ptr<Driver> make_uring_driver(DriverEvents& events, UringSizes sizes);

}  // namespace nz
