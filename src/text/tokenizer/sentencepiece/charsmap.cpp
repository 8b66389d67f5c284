#include "text/tokenizer/sentencepiece/charsmap.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace polymath::text {
namespace {

uint32_t read_u32(const char* p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  return b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
}

// A unit: bits 0-7 are the label, bit 8 "a value follows", bits 10-30 the offset.
// Bit 9: the offset is shifted by 8. Bit 31 marks a value unit; its other bits are the value.
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xFF); }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

}  // namespace

absl::StatusOr<Charsmap> Charsmap::parse(std::string_view blob) {
  if (blob.size() < 4) return absl::InvalidArgumentError("precompiled_charsmap: shorter than its own size field");
  const uint32_t trie_bytes = read_u32(blob.data());
  if (trie_bytes > blob.size() - 4 || trie_bytes % 4 != 0 || trie_bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("precompiled_charsmap: a trie of ", trie_bytes, " bytes in ", blob.size()));
  }
  Charsmap map;
  for (size_t i = 0; i < trie_bytes; i += 4) map.units_.push_back(read_u32(blob.data() + 4 + i));
  map.replacements_ = std::string(blob.substr(4 + trie_bytes));
  return map;
}

std::optional<Charsmap::Match> Charsmap::shortest(std::string_view text) const { return find(text, true); }
std::optional<Charsmap::Match> Charsmap::longest(std::string_view text) const { return find(text, false); }

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, bool stop_at_first) const {
  std::optional<Match> best;
  uint32_t position = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    position ^= byte;
    if (byte == 0 || position >= units_.size() || label_of(units_[position]) != byte) break;
    const uint32_t unit = units_[position];
    position ^= offset_of(unit);
    if (!has_value(unit)) continue;
    if (position >= units_.size()) break;
    const uint32_t at = value_of(units_[position]);
    if (at > replacements_.size()) break;
    const size_t end = replacements_.find('\0', at);
    best = Match{i + 1, std::string_view(replacements_).substr(at, end == std::string::npos ? end : end - at)};
    if (stop_at_first) break;
  }
  return best;
}

}  // namespace polymath::text
