#pragma once

// Byte-pair encoding by ranked merges. The pair with the lowest rank merges first, the leftmost among equals.
//
// Time: n log n in a word's length, by a heap of candidate pairs over a linked list of symbols.
// Each thread caches short words, so that no lock is needed.
// Source: arXiv:1508.07909; huggingface/tokenizers models/bpe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/json.h"
#include "text/tokenizer/merge_list.h"
#include "text/tokenizer/token_model.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct BpeOptions {
  std::optional<TokenId> unknown;  // for a character without token; none: it is left out
  bool fuse_unknown = false;       // a run of unknown characters is one token
  bool byte_fallback = false;      // an unknown character becomes its <0xNN> bytes, if all of them exist
  bool ignore_merges = false;      // a word that is a token is taken whole
  std::string continuing_prefix;   // before every character of a word but its first
  std::string end_suffix;          // behind the last
};

class Bpe final : public TokenModel {
 public:
  using Merges = absl::flat_hash_map<uint64_t, MergeList::Candidate>;
  static uint64_t pair_key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  // `vocabulary` holds the model's own tokens only, and is kept.
  Bpe(std::shared_ptr<const Vocabulary> vocabulary, Merges merges, BpeOptions options);

  void encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const override;

 private:
  struct Symbols;
  struct Scratch;
  void first_symbols(std::string_view word, Symbols& out) const;
  void encode_uncached(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const;
  bool append_bytes(std::string_view character, Symbols& out) const;
  void merge(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  Merges merges_;
  BpeOptions options_;
  std::vector<TokenId> byte_ids_;
  std::vector<TokenId> ascii_ids_;  // of single ASCII characters; -1: none
  uint64_t instance_;               // tells this model's cache entries from those of another
};

// The "model" node of tokenizer.json, its vocabulary read already. kInvalidArgument: a merge that names a token
// that is not there, wrong types, dropout.
absl::StatusOr<std::unique_ptr<TokenModel>> read_bpe(const base::JsonValue& node,
                                                     std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace polymath::text
