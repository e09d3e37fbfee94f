// io_uring through the kernel's own header and raw system calls: rings, and a ring of receive buffers.
#pragma once

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nz {

// The submission and completion rings. One thread.
class Uring {
 public:
  Uring() = default;
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;
  ~Uring() {
    if (entries_ != MAP_FAILED) munmap(entries_, entries_bytes_);
    if (rings_ != MAP_FAILED) munmap(rings_, rings_bytes_);
    if (fd_ >= 0) close(fd_);
  }

  // 0 or an errno. The calling thread becomes the only one that may submit.
  int init(uint32_t entries, uint32_t completions) {
    constexpr uint32_t kNeeded = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
    io_uring_params params = {};
    // Completions run when this thread asks for them, not in the middle of its work (Linux 6.1).
    for (const uint32_t flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0u}) {
      params = {};
      params.flags = IORING_SETUP_CQSIZE | flags;
      params.cq_entries = completions;
      fd_ = static_cast<int>(syscall(__NR_io_uring_setup, entries, &params));
      if (fd_ >= 0 || errno != EINVAL) break;
    }
    if (fd_ < 0) return errno;
    if ((params.features & kNeeded) != kNeeded) return ENOSYS;
    const size_t submission_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    const size_t completion_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    rings_bytes_ = submission_bytes > completion_bytes ? submission_bytes : completion_bytes;
    entries_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
    rings_ = map(rings_bytes_, IORING_OFF_SQ_RING);
    entries_ = map(entries_bytes_, IORING_OFF_SQES);
    if (rings_ == MAP_FAILED || entries_ == MAP_FAILED) return ENOMEM;
    submission_head_ = at(params.sq_off.head);
    submission_tail_ = at(params.sq_off.tail);
    submission_mask_ = *at(params.sq_off.ring_mask);
    submission_size_ = params.sq_entries;
    completion_head_ = at(params.cq_off.head);
    completion_tail_ = at(params.cq_off.tail);
    completion_mask_ = *at(params.cq_off.ring_mask);
    completions_ = reinterpret_cast<io_uring_cqe*>(static_cast<uint8_t*>(rings_) + params.cq_off.cqes);
    uint32_t* array = at(params.sq_off.array);
    for (uint32_t i = 0; i < params.sq_entries; ++i) array[i] = i;
    return 0;
  }

  int fd() const { return fd_; }

  // An empty entry, submitted by the next `enter`. Submits what there is when the ring is full; null when the kernel
  // does not even take that.
  io_uring_sqe* entry() {
    if (is_full()) enter(0, 0);
    if (is_full()) return nullptr;
    auto* sqe = static_cast<io_uring_sqe*>(entries_) + (tail_ & submission_mask_);
    memset(sqe, 0, sizeof *sqe);
    tail_ += 1;
    return sqe;
  }

  // Submits, and waits for `completions` of them, at most `timeout_ms` (-1: for ever).
  void enter(uint32_t completions, int timeout_ms) {
    std::atomic_ref<uint32_t>(*submission_tail_).store(tail_, std::memory_order_release);
    const uint32_t count = tail_ - std::atomic_ref<uint32_t>(*submission_head_).load(std::memory_order_acquire);
    __kernel_timespec time = {timeout_ms / 1'000, (timeout_ms % 1'000) * 1'000'000LL};
    io_uring_getevents_arg argument = {};
    argument.ts = timeout_ms < 0 ? 0 : reinterpret_cast<uint64_t>(&time);
    // Interrupted, timed out or busy: the caller looks at what has completed and comes again.
    syscall(__NR_io_uring_enter, fd_, count, completions, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument,
            sizeof argument);
  }

  bool has_completion() const {
    return *completion_head_ != std::atomic_ref<uint32_t>(*completion_tail_).load(std::memory_order_acquire);
  }

  bool next(io_uring_cqe& completion) {
    if (!has_completion()) return false;
    const uint32_t head = *completion_head_;
    completion = completions_[head & completion_mask_];
    std::atomic_ref<uint32_t>(*completion_head_).store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  void* map(size_t bytes, uint64_t offset) {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, static_cast<off_t>(offset));
  }
  uint32_t* at(uint32_t offset) { return reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(rings_) + offset); }
  bool is_full() const {
    return tail_ - std::atomic_ref<uint32_t>(*submission_head_).load(std::memory_order_acquire) >= submission_size_;
  }

  int fd_ = -1;
  void* rings_ = MAP_FAILED;
  size_t rings_bytes_ = 0;
  void* entries_ = MAP_FAILED;
  size_t entries_bytes_ = 0;
  uint32_t* submission_head_ = nullptr;
  uint32_t* submission_tail_ = nullptr;
  uint32_t submission_mask_ = 0;
  uint32_t submission_size_ = 0;
  uint32_t tail_ = 0;
  uint32_t* completion_head_ = nullptr;
  uint32_t* completion_tail_ = nullptr;
  uint32_t completion_mask_ = 0;
  io_uring_cqe* completions_ = nullptr;
};

// Buffers the kernel picks from when something arrives: an idle socket holds none (Linux 5.19).
class UringBuffers {
 public:
  static constexpr uint16_t kGroup = 1;
  static constexpr uint32_t kCount = 32;
  static constexpr size_t kBytes = 64 * 1024;

  UringBuffers() = default;
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;
  ~UringBuffers() {
    if (memory_ != MAP_FAILED) munmap(memory_, kMappedBytes);
  }

  int init(int ring_fd) {
    memory_ = mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) return errno;
    io_uring_buf_reg registration = {};
    registration.ring_addr = reinterpret_cast<uint64_t>(memory_);
    registration.ring_entries = kCount;
    registration.bgid = kGroup;
    if (syscall(__NR_io_uring_register, ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1) != 0) return errno;
    for (uint16_t id = 0; id < kCount; ++id) give(id);
    return 0;
  }

  uint8_t* at(uint16_t id) { return static_cast<uint8_t*>(memory_) + kRingBytes + id * kBytes; }

  void give(uint16_t id) {
    // The header's flexible array lies elsewhere in C++ than in C, where its empty struct has no size.
    auto* slots = static_cast<io_uring_buf*>(memory_);
    io_uring_buf& slot = slots[tail_ & (kCount - 1)];
    slot.addr = reinterpret_cast<uint64_t>(at(id));
    slot.len = kBytes;
    slot.bid = id;
    tail_ += 1;
    std::atomic_ref<uint16_t>(slots[0].resv).store(tail_, std::memory_order_release);
  }

 private:
  static constexpr size_t kRingBytes = 4'096;
  static constexpr size_t kMappedBytes = kRingBytes + kCount * kBytes;
  static_assert(kCount * sizeof(io_uring_buf) <= kRingBytes);
  void* memory_ = MAP_FAILED;
  uint16_t tail_ = 0;
};

}  // namespace nz
