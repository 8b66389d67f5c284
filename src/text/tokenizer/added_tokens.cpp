#include "text/tokenizer/added_tokens.h"

#include "text/utf8.h"

namespace polymath::text {
namespace {

char32_t last_character(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return decode_utf8(text.substr(begin)).value;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  return (begin == 0 || !is_word(last_character(text.substr(0, begin)))) &&
         (end == text.size() || !is_word(decode_utf8(text.substr(end)).value));
}

// Where the white space before `begin` starts, not before `low`.
size_t space_before(std::string_view text, size_t low, size_t begin) {
  while (begin > low) {
    size_t at = begin - 1;
    while (at > low && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!is_space(decode_utf8(text.substr(at)).value)) break;
    begin = at;
  }
  return begin;
}

size_t space_behind(std::string_view text, size_t end) {
  while (end < text.size()) {
    const CodePoint c = decode_utf8(text.substr(end));
    if (!is_space(c.value)) break;
    end += c.bytes;
  }
  return end;
}

}  // namespace

AddedToken read_added_token(base::JsonReader& reader) {
  AddedToken token;
  token.content = reader.s("content");
  token.single_word = reader.b("single_word", false);
  token.lstrip = reader.b("lstrip", false);
  token.rstrip = reader.b("rstrip", false);
  token.special = reader.b("special", false);
  token.normalized = reader.b("normalized", !token.special);
  return token;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer) : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, int32_t>> raw, normalized;
  std::vector<std::string> spellings(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    if (!token.normalized) {
      raw.emplace_back(token.content, i);
      continue;
    }
    spellings[i] = normalizer == nullptr ? token.content : normalizer->apply({token.content}, true).text;
    normalized.emplace_back(spellings[i], i);
  }
  raw_ = ByteTrie(std::move(raw));
  normalized_ = ByteTrie(std::move(normalized));
}

void AddedTokens::split(const ByteTrie& trie, std::string_view text, Visit visit) const {
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    size_t longest = 0;
    int32_t which = -1;
    trie.prefixes(text.substr(i), [&](size_t bytes, int32_t value) {
      longest = bytes;
      which = value;
    });
    if (which < 0) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[which];
    const size_t match_end = i + longest;
    size_t begin = i, end = match_end;
    i = match_end;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    begin = std::max(begin, done);
    if (token.lstrip) begin = space_before(text, done, begin);
    if (token.rstrip) end = space_behind(text, end);
    end = std::max(end, begin);
    if (begin > done) visit(text.substr(done, begin - done), -1);
    visit(text.substr(begin, end - begin), token.id);
    done = end;
  }
  if (done < text.size()) visit(text.substr(done), -1);
}

}  // namespace polymath::text
