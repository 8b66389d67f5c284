#include "text/grammar/vocabulary.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/grammar/units.h"
#include "text/token_texts.h"

namespace polymath::text::grammar {

Vocabulary::Vocabulary(std::vector<std::string> texts, std::vector<TokenId> end_ids)
    : texts_(std::move(texts)), end_ids_(std::move(end_ids)) {
  build_trie();
  ExprPool pool({});
  for (const ExprId unit : standard_units(pool)) unit_tables_.push_back(UnitTable::make(pool, unit, *this));
}

std::shared_ptr<const Vocabulary> Vocabulary::make(const Tokenizer& tokenizer, size_t vocab,
                                                   std::vector<TokenId> end_ids) {
  std::vector<std::string> texts(vocab);
  // Behind a letter, so that a token keeps its leading blank.
  const TokenTexts place(&tokenizer, tokenizer.encode("a", false), /*skip_special=*/false);
  const size_t known = std::min(vocab, tokenizer.vocab_size());
  for (size_t id = 0; id < known; ++id) {
    const auto token = static_cast<TokenId>(id);
    texts[id] = tokenizer.is_special(token) ? absl::StrCat(std::string(1, kSpecialMark), tokenizer.token_text(token))
                                            : place.peek(token).bytes;
  }
  return std::make_shared<const Vocabulary>(std::move(texts), std::move(end_ids));
}

std::string_view Vocabulary::bytes(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= texts_.size()) return {};
  return texts_[static_cast<size_t>(id)];
}

bool Vocabulary::is_end(TokenId id) const { return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end(); }

std::vector<std::string> Vocabulary::specials() const {
  std::vector<std::string> out;
  for (const std::string& text : texts_) {
    if (text.size() > 1 && text.front() == kSpecialMark) out.push_back(text.substr(1));
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return out;
}

// The sorted texts are the tree's preorder. A node's end is known when a text leaves it.
void Vocabulary::build_trie() {
  std::vector<TokenId> order(texts_.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](TokenId id) { return texts_[id].empty() || texts_[id].size() > kTokenBytesMax; });
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const int compared = texts_[a].compare(texts_[b]);
    return compared != 0 ? compared < 0 : a < b;
  });
  next_same_.assign(texts_.size(), -1);
  nodes_.push_back({});
  std::vector<uint32_t> path = {0};  // of the last text: the node at each depth
  std::string_view last;
  TokenId last_id = -1;
  for (const TokenId id : order) {
    const std::string_view text = texts_[id];
    if (last_id >= 0 && text == last) {
      next_same_[last_id] = id;
      nodes_.back().shared = true;
      last_id = id;
      continue;
    }
    const auto differ = std::mismatch(last.begin(), last.end(), text.begin(), text.end()).second;
    const auto shared = static_cast<size_t>(differ - text.begin());
    for (; path.size() > shared + 1; path.pop_back()) nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    for (size_t at = shared; at < text.size(); ++at) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.depth = static_cast<uint16_t>(at + 1), .byte = static_cast<uint8_t>(text[at])});
    }
    nodes_.back().token = id;
    depth_max_ = std::max(depth_max_, static_cast<uint32_t>(text.size()));
    last = text;
    last_id = id;
  }
  for (const uint32_t node : path) nodes_[node].end = static_cast<uint32_t>(nodes_.size());
}

}  // namespace polymath::text::grammar
