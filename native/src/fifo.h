// A queue that holds no memory before its first entry; std::deque takes half a kilobyte for none.
#pragma once

#include <cstddef>
#include <vector>

namespace nz {

template <typename T>
class Fifo {
 public:
  bool empty() const { return head_ == items_.size(); }
  size_t size() const { return items_.size() - head_; }
  // Not of an empty one.
  const T& front() const { return items_[head_]; }

  void push_back(T item) {
    // What was taken from the front is let go before the memory grows for it.
    if (items_.size() == items_.capacity() && head_ > items_.size() / 2) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
    items_.push_back(item);
  }

  void push_front(T item) {
    if (head_ > 0) {
      items_[--head_] = item;
    } else {
      items_.insert(items_.begin(), item);
    }
  }

  void pop_front() {
    head_ += 1;
    if (head_ < items_.size()) return;
    items_.clear();
    head_ = 0;
  }

  template <typename Test>
  void erase_if(Test test) {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
    std::erase_if(items_, test);
  }
  auto begin() const { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() const { return items_.end(); }

  // Gives up the memory of an empty one.
  void trim() {
    if (empty() && items_.capacity() > 0) std::vector<T>().swap(items_);
  }

 private:
  std::vector<T> items_;
  size_t head_ = 0;
};

template <typename T, typename Test>
void erase_if(Fifo<T>& list, Test test) {
  list.erase_if(test);
}

}  // namespace nz
