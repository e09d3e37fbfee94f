// The impairment box: carries Ethernet frames between two interfaces and does to them what a bad link does: delay,
// jitter, loss in bursts, reordering, duplication, a narrow pipe. The kernel has no netem, so it is done here.
//
//   impairment link A B seed=1 delayUs=0 jitterUs=0 lossPpm=0 lossBurst=1000 reorderPpm=0 duplicatePpm=0 bitsPerSecond=0
//   impairment plain IF...     switches segmentation and checksum offload off, so that frames are what the wire has
//
// Prints "ready" when it carries frames; runs until it is killed or its standard input ends. lossBurst is in
// thousandths. Interfaces are opened with AF_PACKET, in the namespace the program runs in.
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <string>
#include <vector>

namespace {

constexpr size_t kMaxFrameBytes = 2048;
// What waits in one direction: enough for 100 Mbit/s over 600 ms; more is dropped, as a full queue does.
constexpr size_t kMaxWaitingBytes = 8 * 1024 * 1024;
// What waits in front of a narrow pipe before it drops: a quarter of a second, at least 32 frames.
constexpr uint64_t kPipeQueueNs = 250'000'000;

struct Settings {
  uint64_t seed = 1, delay_us = 0, jitter_us = 0, loss_ppm = 0, loss_burst = 1000, reorder_ppm = 0, duplicate_ppm = 0,
           bits_per_second = 0;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "impairment: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

uint64_t now_ns() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}

// splitmix64: small, seeded, the same everywhere.
class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  bool happens(uint64_t ppm) { return ppm > 0 && below(1'000'000) < ppm; }
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }

 private:
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

struct Frame {
  uint64_t due_ns;
  uint64_t number;
  std::vector<uint8_t> bytes;
};

struct Later {
  bool operator()(const Frame& a, const Frame& b) const {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.number > b.number;
  }
};

// One direction of the link.
class Direction {
 public:
  Direction(const Settings& settings, int out, uint64_t seed) : settings_(settings), out_(out), chance_(seed) {}

  void arrive(const uint8_t* bytes, size_t length, uint64_t at_ns) {
    if (is_lost()) return;
    const uint64_t through_ns = pipe(length, at_ns);
    if (through_ns == 0) return;
    enter(bytes, length, through_ns + delay_ns());
    if (chance_.happens(settings_.duplicate_ppm)) enter(bytes, length, through_ns + delay_ns());
  }

  // Sends what is due; when the next is due, or 0.
  uint64_t send(uint64_t at_ns) {
    while (!waiting_.empty() && waiting_.top().due_ns <= at_ns) {
      const auto& bytes = waiting_.top().bytes;
      // A full device queue or a link that is down drops the frame, as wires do.
      (void)!::send(out_, bytes.data(), bytes.size(), MSG_DONTWAIT);
      waiting_bytes_ -= bytes.size();
      waiting_.pop();
    }
    return waiting_.empty() ? 0 : waiting_.top().due_ns;
  }

 private:
  // Gilbert: a loss begins a run whose mean length is lossBurst; the share of frames lost stays lossPpm.
  bool is_lost() {
    if (settings_.loss_ppm == 0) return false;
    if (in_burst_) {
      in_burst_ = !chance_.happens(1'000'000'000 / settings_.loss_burst);
      if (in_burst_) return true;
    }
    const uint64_t begin = settings_.loss_ppm * 1000 / settings_.loss_burst;
    const uint64_t good = 1'000'000 - settings_.loss_ppm;
    in_burst_ = chance_.happens(good == 0 ? 1'000'000 : begin * 1'000'000 / good);
    return in_burst_;
  }

  // When the frame has left the narrow pipe; 0 when the queue before it is full.
  uint64_t pipe(size_t length, uint64_t at_ns) {
    if (settings_.bits_per_second == 0) return at_ns;
    const uint64_t takes_ns = length * 8 * 1'000'000'000 / settings_.bits_per_second;
    if (free_ns_ < at_ns) free_ns_ = at_ns;
    if (free_ns_ - at_ns > (kPipeQueueNs > 32 * takes_ns ? kPipeQueueNs : 32 * takes_ns)) return 0;
    return free_ns_ += takes_ns;
  }

  uint64_t delay_ns() {
    if (chance_.happens(settings_.reorder_ppm)) return 0;
    return (settings_.delay_us + chance_.below(settings_.jitter_us + 1)) * 1000;
  }

  void enter(const uint8_t* bytes, size_t length, uint64_t due_ns) {
    if (waiting_bytes_ + length > kMaxWaitingBytes) return;
    waiting_bytes_ += length;
    waiting_.push(Frame{due_ns, number_++, {bytes, bytes + length}});
  }

  const Settings& settings_;
  int out_;
  Chance chance_;
  bool in_burst_ = false;
  uint64_t free_ns_ = 0;
  uint64_t number_ = 0;
  size_t waiting_bytes_ = 0;
  std::priority_queue<Frame, std::vector<Frame>, Later> waiting_;
};

int open_interface(const char* name) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (fd < 0) fail("socket");
  const int on = 1, buffer = 4 * 1024 * 1024;
  // Own frames must not come back as arrivals.
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0) fail("PACKET_IGNORE_OUTGOING");
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(if_nametoindex(name));
  if (at.sll_ifindex == 0) fail(name);
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0) fail("bind");
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = at.sll_ifindex;
  promiscuous.mr_type = PACKET_MR_PROMISC;
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) < 0) fail("promiscuous");
  return fd;
}

void carry(const Settings& settings, const char* a, const char* b) {
  const int fds[2] = {open_interface(a), open_interface(b)};
  Direction directions[2] = {{settings, fds[1], settings.seed}, {settings, fds[0], settings.seed ^ 0x5bf03635}};
  std::puts("ready");
  std::fflush(stdout);
  uint8_t buffer[kMaxFrameBytes];
  for (;;) {
    uint64_t next_ns = 0;
    for (auto& direction : directions) {
      const uint64_t due_ns = direction.send(now_ns());
      if (due_ns != 0 && (next_ns == 0 || due_ns < next_ns)) next_ns = due_ns;
    }
    const uint64_t at_ns = now_ns();
    const uint64_t wait_ns = next_ns == 0 ? 1'000'000'000 : next_ns > at_ns ? next_ns - at_ns : 0;
    const timespec wait{static_cast<time_t>(wait_ns / 1'000'000'000), static_cast<long>(wait_ns % 1'000'000'000)};
    pollfd ready[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (ppoll(ready, 3, &wait, nullptr) < 0 && errno != EINTR) fail("poll");
    if (ready[2].revents != 0 && read(STDIN_FILENO, buffer, 1) <= 0) return;
    for (int side = 0; side < 2; side++) {
      // Bounded, so that what is due goes out between two floods.
      for (int count = 0; count < 64; count++) {
        const ssize_t length = recv(fds[side], buffer, sizeof buffer, MSG_TRUNC);
        if (length <= 0) break;
        if (static_cast<size_t>(length) > sizeof buffer) continue;
        directions[side].arrive(buffer, static_cast<size_t>(length), now_ns());
      }
    }
  }
}

void switch_offloads_off(const char* name) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  for (const uint32_t command : {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO}) {
    ethtool_value value{command, 0};
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (ioctl(fd, SIOCETHTOOL, &request) < 0) fail(name);
  }
  close(fd);
}

bool set(Settings& settings, const std::string& argument) {
  const auto at = argument.find('=');
  if (at == std::string::npos) return false;
  const std::string name = argument.substr(0, at);
  const uint64_t value = std::strtoull(argument.c_str() + at + 1, nullptr, 10);
  struct {
    const char* name;
    uint64_t& field;
  } const fields[] = {{"seed", settings.seed},
                      {"delayUs", settings.delay_us},
                      {"jitterUs", settings.jitter_us},
                      {"lossPpm", settings.loss_ppm},
                      {"lossBurst", settings.loss_burst},
                      {"reorderPpm", settings.reorder_ppm},
                      {"duplicatePpm", settings.duplicate_ppm},
                      {"bitsPerSecond", settings.bits_per_second}};
  for (const auto& field : fields) {
    if (name != field.name) continue;
    field.field = value;
    return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "plain") {
    for (int i = 2; i < argc; i++) switch_offloads_off(argv[i]);
    return 0;
  }
  Settings settings;
  bool is_understood = verb == "link" && argc >= 4;
  for (int i = 4; i < argc; i++) is_understood = is_understood && set(settings, argv[i]);
  if (!is_understood || settings.loss_burst < 1000) {
    std::fprintf(stderr, "impairment: link A B name=value... | plain IF...\n");
    return 2;
  }
  carry(settings, argv[2], argv[3]);
  return 0;
}
