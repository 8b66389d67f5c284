#include "text/token_texts.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "text/tokenizer/byte_level.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

// Ids of the prompt that are looked at for a character without its end. Each has at least one of its bytes.
constexpr size_t kCharacterIdsMax = 4;

// Moves the whole characters of `bytes` to the result. Invalid sequences become U+FFFD; an unfinished one stays.
std::string take_whole(std::string& bytes) {
  std::string text;
  size_t at = 0;
  while (at < bytes.size()) {
    const CodePoint c = decode_utf8(std::string_view(bytes).substr(at));
    if (!c.valid && c.open) break;
    append_utf8(text, c.value);
    at += static_cast<size_t>(c.bytes);
  }
  bytes.erase(0, at);
  return text;
}

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

int64_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

TokenTexts::TokenTexts(const Tokenizer* tokenizer, std::span<const TokenId> before, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {
  if (tokenizer == nullptr) return;
  anchor_ = tokenizer->encode("a", false);
  const auto has_text = [&](TokenId id) { return !skip_special || !tokenizer->is_special(id); };
  at_start_ = std::none_of(before.begin(), before.end(), has_text);
  for (const TokenId id : before.last(std::min(before.size(), kCharacterIdsMax))) take(id);
  characters_ = 0;
}

// decode() hides the bytes of an incomplete character. The vocabulary's spelling has them.
std::string TokenTexts::own_bytes(TokenId id, std::span<const TokenId> anchor) const {
  std::string piece = decoded_piece(*tokenizer_, anchor, id);
  if (piece.find(kReplacementUtf8) == std::string::npos) return piece;
  const std::string spelling = tokenizer_->token_text(id);
  std::string bytes;
  if (!read_byte_spelling(spelling, bytes)) append_level_bytes(spelling, bytes);
  return bytes;
}

TokenTexts::Step TokenTexts::step(TokenId id) const {
  if (tokenizer_ == nullptr) return {};
  const bool special = tokenizer_->is_special(id);
  Step step{.open = open_, .in_text = !special || !skip_special_};
  step.shown.bytes = own_bytes(id, at_start_ && !special ? std::span<const TokenId>() : anchor_);
  if (!step.in_text) {
    step.shown.text = step.shown.bytes;
    return step;
  }
  step.open += step.shown.bytes;
  step.shown.text = take_whole(step.open);
  return step;
}

TokenText TokenTexts::peek(TokenId id) const { return step(id).shown; }

TokenText TokenTexts::take(TokenId id) {
  Step next = step(id);
  open_ = std::move(next.open);
  if (next.in_text) {
    at_start_ = at_start_ && next.shown.bytes.empty();
    characters_ += count_characters(next.shown.text);
  }
  return std::move(next.shown);
}

}  // namespace polymath::text
