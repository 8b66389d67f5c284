#pragma once

// The unigram language model: of all ways to cut a word into pieces, the one whose scores add up highest.
//
// Time: the text's length times the longest piece's. Memory: 16 bytes a byte of the word.
// Sources: arXiv:1804.10959; huggingface/tokenizers models/unigram; sentencepiece src/unigram_model.cc.

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/token_model.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct UnigramOptions {
  std::optional<TokenId> unknown;  // none: what has no piece is left out
  double unknown_score = 0;        // of one character without a piece
  bool byte_fallback = false;      // what is unknown becomes its <0xNN> bytes, if all of them exist
  bool seeks_unknown = false;      // a run of unknown characters that spells a token is that token, as in tokenizers
  bool single_precision = false;   // sums are rounded to float, as SentencePiece's are
};

struct UnigramPiece {
  TokenId id;
  double score;
};

class Unigram final : public TokenModel {
 public:
  // `pieces`: those that a text may be cut into. `vocabulary` is kept.
  Unigram(std::shared_ptr<const Vocabulary> vocabulary, const std::vector<UnigramPiece>& pieces,
          UnigramOptions options);

  void encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const override;

 private:
  struct Node {
    double score = 0;
    int32_t begin = -1;  // of the best piece that ends here; -1: nothing ends here
    TokenId id = -1;     // kUnknown: no piece
  };
  static constexpr TokenId kUnknown = -2;
  std::vector<Node> best_paths(std::string_view word) const;
  void append_unknown(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_part(std::string_view word, size_t at, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  ByteTrie trie_;
  std::vector<double> scores_;  // by id
  UnigramOptions options_;
  std::vector<TokenId> byte_ids_;
};

// The "model" node of tokenizer.json, its vocabulary read already.
absl::StatusOr<std::unique_ptr<TokenModel>> read_unigram(const base::JsonValue& node,
                                                         std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace polymath::text
