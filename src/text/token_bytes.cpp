#include "text/token_bytes.h"

#include <charconv>
#include <vector>

#include "text/tokenizer/byte_level.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

// "<0x0A>" -> "\n", SentencePiece's spelling of a byte. False: another spelling.
bool read_byte_spelling(std::string_view spelling, std::string& out) {
  constexpr size_t kDigitsAt = 3, kDigits = 2;
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling.back() != '>') return false;
  unsigned value = 0;
  const char* const begin = spelling.data() + kDigitsAt;
  if (std::from_chars(begin, begin + kDigits, value, 16).ptr != begin + kDigits) return false;
  out.assign(1, static_cast<char>(value));
  return true;
}

std::string decoded_piece(const Tokenizer& tokenizer, std::span<const TokenId> anchor, TokenId id) {
  std::vector<TokenId> ids(anchor.begin(), anchor.end());
  ids.push_back(id);
  const std::string before = tokenizer.decode(anchor, false);
  std::string both = tokenizer.decode(ids, false);
  if (both.starts_with(before)) return both.substr(before.size());
  return tokenizer.decode(std::span<const TokenId>(&id, 1), false);
}

}  // namespace

std::string token_bytes(const Tokenizer& tokenizer, std::span<const TokenId> anchor, TokenId id) {
  std::string piece = decoded_piece(tokenizer, anchor, id);
  if (piece.find(kReplacementUtf8) == std::string::npos) return piece;
  // decode() hides the bytes of an incomplete character. The vocabulary's spelling has them.
  const std::string spelling = tokenizer.token_text(id);
  std::string bytes;
  if (!read_byte_spelling(spelling, bytes)) append_level_bytes(spelling, bytes);
  return bytes;
}

}  // namespace polymath::text
