#include "text/tokenizer/sentencepiece/bpe.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/merge_list.h"
#include "text/tokenizer/token_cuts.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

// Symbols are ids, of four kinds. A piece: [0, n). A user-defined piece cut out of the text: n + its id.
// A character that is in a piece but is none: from 2 n on. Any other character: `stranger_`.
class SentencePieceBpe final : public TokenModel {
 public:
  SentencePieceBpe(const SentencePieceProto& proto, std::shared_ptr<const Vocabulary> vocabulary, TokenId unknown)
      : vocabulary_(std::move(vocabulary)), n_(static_cast<TokenId>(proto.pieces.size())), unknown_(unknown) {
    if (proto.byte_fallback) byte_ids_ = vocabulary_->byte_tokens();
    std::vector<std::pair<std::string_view, int32_t>> user_defined;
    for (TokenId id = 0; id < n_; ++id) {
      const PieceType type = proto.pieces[id].type;
      const std::string_view text = proto.pieces[id].text;
      if (type == PieceType::kUserDefined) user_defined.emplace_back(text, id);
      if (joins(type)) symbols_.emplace(std::string(text), id);
      unused_.push_back(type == PieceType::kUnused);
    }
    user_defined_ = ByteTrie(std::move(user_defined));
    const std::vector<uint32_t> ranks = ranks_of(proto);
    for (const auto& piece : proto.pieces) {
      if (joins(piece.type)) add_end_characters(piece.text);
    }
    std::vector<std::pair<std::string_view, TokenId>> symbols;
    for (const auto& [text, id] : symbols_) symbols.emplace_back(text, id);
    TokenCuts cuts(std::move(symbols));
    for (TokenId id = 0; id < n_; ++id) {
      if (!joins(proto.pieces[id].type)) continue;
      cuts.cuts(proto.pieces[id].text, [&](TokenId left, TokenId right) {
        joins_[Bpe::pair_key(left, right)] = {ranks[id], id};
      });
    }
    stranger_ = 2 * n_ + n_extra_;
  }

  void encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const override {
    std::vector<TokenId> symbols;
    std::vector<std::string_view> strangers;  // their texts, in order, for the bytes
    first_symbols(word, symbols, strangers);
    absl::flat_hash_map<TokenId, std::pair<TokenId, TokenId>> parts;  // of unused pieces: what joined to them
    MergeList list(symbols);
    list.run([&](TokenId left, TokenId right) -> std::optional<MergeList::Candidate> {
      const auto found = joins_.find(Bpe::pair_key(left, right));
      if (found == joins_.end()) return std::nullopt;
      if (unused_[found->second.id]) parts[found->second.id] = {left, right};
      return found->second;
    });
    symbols.clear();
    list.append_to(symbols);
    Output out{ids, spans};
    auto stranger = strangers.begin();
    for (const TokenId symbol : symbols) {
      resolve(symbol, parts, symbol == stranger_ ? *stranger++ : std::string_view(), out);
    }
  }

 private:
  struct Output {
    std::vector<TokenId>& ids;
    std::vector<ByteSpan>* spans;  // null: not wanted
    uint32_t at = 0;               // of the word: written
    bool behind_unknown = false;

    void add(TokenId id, size_t bytes) {
      ids.push_back(id);
      const auto end = at + static_cast<uint32_t>(bytes);
      if (spans != nullptr) spans->push_back({at, end});
      at = end;
    }
    void lengthen(size_t bytes) {
      at += static_cast<uint32_t>(bytes);
      if (spans != nullptr) spans->back().end = at;
    }
  };
  using Parts = absl::flat_hash_map<TokenId, std::pair<TokenId, TokenId>>;

  static bool joins(PieceType type) {
    return type == PieceType::kNormal || type == PieceType::kUserDefined || type == PieceType::kUnused;
  }

  // By id: how many scores are better. Equal scores have equal ranks.
  static std::vector<uint32_t> ranks_of(const SentencePieceProto& proto) {
    std::vector<float> scores;
    for (const auto& piece : proto.pieces) scores.push_back(piece.score);
    std::sort(scores.begin(), scores.end(), std::greater<>());
    std::vector<uint32_t> ranks;
    for (const auto& piece : proto.pieces) {
      const auto at = std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
      ranks.push_back(static_cast<uint32_t>(at - scores.begin()));
    }
    return ranks;
  }

  // The halves of a cut are pieces, or the first or last character alone.
  void add_end_characters(std::string_view text) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    add_character(text.substr(0, static_cast<size_t>(utf8_length(text[0]))));
    add_character(text.substr(last));
  }

  void add_character(std::string_view text) {
    if (!symbols_.emplace(std::string(text), 2 * n_ + n_extra_).second) return;
    ++n_extra_;
    extra_texts_.emplace_back(text);
  }

  void first_symbols(std::string_view word, std::vector<TokenId>& symbols,
                     std::vector<std::string_view>& strangers) const {
    for (size_t i = 0; i < word.size();) {
      size_t length = 0;
      TokenId symbol = -1;
      user_defined_.prefixes(word.substr(i), [&](size_t bytes, TokenId id) {
        length = bytes;
        symbol = n_ + id;
      });
      if (symbol < 0) {
        length = std::min<size_t>(utf8_length(word[i]), word.size() - i);
        const auto found = symbols_.find(absl::string_view(word.data() + i, length));
        symbol = found != symbols_.end() ? found->second : stranger_;
        if (symbol == stranger_) strangers.push_back(word.substr(i, length));
      }
      symbols.push_back(symbol);
      i += length;
    }
  }

  void resolve(TokenId symbol, const Parts& parts, std::string_view stranger, Output& out) const {
    if (symbol < n_ && unused_[symbol]) {
      // The halves are shorter, so this ends. Of an unused piece that nothing joined to, the id itself is given.
      const auto halves = parts.find(symbol);
      if (halves != parts.end()) {
        resolve(halves->second.first, parts, {}, out);
        resolve(halves->second.second, parts, {}, out);
        return;
      }
    }
    if (symbol < 2 * n_) {
      const TokenId id = symbol < n_ ? symbol : symbol - n_;
      out.add(id, vocabulary_->text(id).size());
      out.behind_unknown = false;
      return;
    }
    const std::string_view text = symbol == stranger_ ? stranger : std::string_view(extra_texts_[symbol - 2 * n_]);
    if (!byte_ids_.empty()) {
      for (const char c : text) out.add(byte_ids_[static_cast<unsigned char>(c)], 1);
      return;
    }
    if (out.behind_unknown) return out.lengthen(text.size());  // a run of unknown characters is one piece
    out.add(unknown_, text.size());
    out.behind_unknown = true;
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  TokenId n_, unknown_;
  TokenId n_extra_ = 0;
  TokenId stranger_ = 0;
  std::vector<TokenId> byte_ids_;  // empty: no byte fallback
  std::vector<bool> unused_;
  ByteTrie user_defined_;
  absl::flat_hash_map<std::string, TokenId> symbols_;
  std::vector<std::string> extra_texts_;
  absl::flat_hash_map<uint64_t, MergeList::Candidate> joins_;
};

}  // namespace

std::unique_ptr<TokenModel> make_sentencepiece_bpe(const SentencePieceProto& proto,
                                                   std::shared_ptr<const Vocabulary> vocabulary, TokenId unknown) {
  return std::make_unique<SentencePieceBpe>(proto, std::move(vocabulary), unknown);
}

}  // namespace polymath::text
