#include "text/token_offsets.h"

#include <algorithm>
#include <utility>

namespace polymath::text {

std::vector<TextToken> in_characters(std::string_view text, std::vector<TextToken> tokens) {
  std::vector<uint32_t> before(text.size() + 1);  // characters that begin before each byte
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    before[i + 1] = before[i] + (begins ? 1 : 0);
  }
  for (TextToken& token : tokens) {
    token.begin = before[std::min(token.begin, text.size())];
    token.end = before[std::min(token.end, text.size())];
  }
  return tokens;
}

std::vector<int32_t> tokens_within(std::span<const ByteRange> ranges, std::span<const TextToken> tokens) {
  std::vector<int32_t> mask(tokens.size(), 0);
  size_t first = 0;  // the last token of one range may be the first of the next
  for (const ByteRange& range : ranges) {
    while (first < tokens.size() && tokens[first].end <= range.begin) ++first;
    for (size_t i = first; i < tokens.size() && tokens[i].begin < range.end; ++i) {
      if (tokens[i].end <= range.begin) continue;  // a special token behind the text
      mask[i] = 1;
      first = i;
    }
  }
  return mask;
}

}  // namespace polymath::text
