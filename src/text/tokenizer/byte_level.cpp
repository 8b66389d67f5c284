#include "text/tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace polymath::text {
namespace {

struct Alphabet {
  std::array<char32_t, 256> point{};
  std::array<int16_t, 324> byte{};  // by code point; -1: not in the alphabet

  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      point[b] = printable ? static_cast<char32_t>(b) : next++;
      byte[point[b]] = static_cast<int16_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet value;
  return value;
}

}  // namespace

std::string bytes_to_level(std::string_view bytes) {
  const Alphabet& a = alphabet();
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 2);
  for (const char c : bytes) append_utf8(out, a.point[static_cast<unsigned char>(c)]);
  return out;
}

void append_level(std::string_view word, Rewrite& out) {
  if (!out.tracked()) return out.replace(bytes_to_level(word), word.size());
  while (!word.empty()) {
    const auto bytes = static_cast<size_t>(decode_utf8(word).bytes);
    out.replace(bytes_to_level(word.substr(0, 1)), bytes);
    for (size_t i = 1; i < bytes; ++i) out.add(bytes_to_level(word.substr(i, 1)));
    word.remove_prefix(bytes);
  }
}

void append_level_bytes(std::string_view token, std::string& out) {
  const Alphabet& a = alphabet();
  const size_t old = out.size();
  for (size_t i = 0; i < token.size();) {
    const CodePoint c = decode_utf8(token.substr(i));
    const int byte = c.valid && c.value < a.byte.size() ? a.byte[c.value] : -1;
    if (byte < 0) {
      out.resize(old);
      out.append(token);
      return;
    }
    out.push_back(static_cast<char>(byte));
    i += c.bytes;
  }
}

}  // namespace polymath::text
