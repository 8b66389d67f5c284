#pragma once

// A set of bytes.

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace polymath::text::grammar {

struct ByteSet {
  std::array<uint64_t, 4> words{};

  static ByteSet range(int first, int last) {
    ByteSet set;
    for (int b = first; b <= last; ++b) set.add(static_cast<uint8_t>(b));
    return set;
  }
  static ByteSet of(std::string_view bytes) {
    ByteSet set;
    for (const char c : bytes) set.add(static_cast<uint8_t>(c));
    return set;
  }

  void add(uint8_t byte) { words[byte >> 6] |= uint64_t{1} << (byte & 63); }
  bool has(uint8_t byte) const { return ((words[byte >> 6] >> (byte & 63)) & 1) != 0; }
  bool empty() const { return (words[0] | words[1] | words[2] | words[3]) == 0; }
  int size() const {
    return std::popcount(words[0]) + std::popcount(words[1]) + std::popcount(words[2]) + std::popcount(words[3]);
  }
  uint8_t first() const {  // REQUIRES: not empty
    int w = 0;
    while (words[w] == 0) ++w;
    return static_cast<uint8_t>(w * 64 + std::countr_zero(words[w]));
  }
  ByteSet& operator|=(const ByteSet& other) {
    for (int w = 0; w < 4; ++w) words[w] |= other.words[w];
    return *this;
  }
  bool operator==(const ByteSet&) const = default;

  // visit(byte) for each byte of the set, in order.
  template <typename Visit>
  void each(const Visit& visit) const {
    for (int w = 0; w < 4; ++w) {
      for (uint64_t rest = words[w]; rest != 0; rest &= rest - 1) {
        visit(static_cast<uint8_t>(w * 64 + std::countr_zero(rest)));
      }
    }
  }
};

}  // namespace polymath::text::grammar
