#pragma once

// A bound on memory that many requests share.
//
//   ByteBudget budget(256u << 20);
//   ByteGrant grant(budget);            // returns its bytes when it is destroyed
//   if (!grant.grow_to(bytes)) ...      // refused: nothing has changed
//
// Thread safety: a budget serves any thread; a grant serves one thread at a time.

#include <atomic>
#include <cstddef>

namespace polymath::base {

class ByteBudget {
 public:
  explicit ByteBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  // False, and nothing is taken: fewer than `kept` bytes would be left.
  bool take(size_t bytes, size_t kept = 0) {
    size_t seen = used_.load(std::memory_order_relaxed);
    do {
      const size_t left = bytes_max_ - seen;
      if (left < kept || bytes > left - kept) return false;
    } while (!used_.compare_exchange_weak(seen, seen + bytes, std::memory_order_relaxed));
    return true;
  }
  void give(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }  // REQUIRES: they were taken

  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t bytes_max() const { return bytes_max_; }

 private:
  const size_t bytes_max_;
  std::atomic<size_t> used_{0};
};

// REQUIRES: the budget outlives its grants.
class ByteGrant {
 public:
  explicit ByteGrant(ByteBudget& budget) : budget_(budget) {}
  ~ByteGrant() { budget_.give(bytes_); }
  ByteGrant(const ByteGrant&) = delete;
  ByteGrant& operator=(const ByteGrant&) = delete;

  // Holds `bytes` from now on, unless it holds more. False: the budget has too few; see ByteBudget::take for `kept`.
  bool grow_to(size_t bytes, size_t kept = 0) {
    if (bytes <= bytes_) return true;
    if (!budget_.take(bytes - bytes_, kept)) return false;
    bytes_ = bytes;
    return true;
  }
  size_t bytes() const { return bytes_; }

 private:
  ByteBudget& budget_;
  size_t bytes_ = 0;
};

}  // namespace polymath::base
