#pragma once

// Text <-> token ids.
//
// Reads tokenizer.json (byte-level BPE, SentencePiece-like BPE, Unigram) with its normalizers, pre-tokenizers,
// post-processors and decoders. Reads SentencePiece's tokenizer.model, too.
// tokenizer_config.json adds tokens and marks special ones.
//
// Thread safety: all const methods may run at once on many threads.
// Time is linear (times log) in the text; no input makes it quadratic.
// Sources: huggingface/tokenizers' tokenizer.json; sentencepiece_model.proto; BPE arXiv:1508.07909;
// Unigram arXiv:1804.10959.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::text {

using TokenId = int32_t;

struct TokenizerLimits {
  size_t file_bytes_max = 256u << 20;  // a larger file: kInvalidArgument
  size_t vocab_max = 4u << 20;         // more entries: kInvalidArgument
  size_t token_bytes_max = 64u << 10;  // a longer token: kInvalidArgument
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `add_special`: what the post-processor adds (BOS, EOS). Special tokens written out in the text become
  // their ids, as in transformers. Invalid UTF-8 is read as U+FFFD, never refused.
  virtual std::vector<TokenId> encode(std::string_view text, bool add_special) const = 0;

  // Whole text of the ids, as tokenizers' decode() gives it. Unknown ids give nothing.
  // The bytes need not be whole UTF-8: incomplete sequences become U+FFFD.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_special) const = 0;

  // The entry as the vocabulary spells it ("Ġhello", "▁a", "<0x0A>"); empty: no such id.
  virtual std::string token_text(TokenId id) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual size_t vocab_size() const = 0;  // highest id + 1, added tokens counted in

  // From tokenizer_config.json / special tokens; nullopt or empty: the file names none.
  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;
};

// Reads tokenizer.json, else tokenizer.model, from a model directory, with tokenizer_config.json beside it.
// kNotFound: neither file is there. kInvalidArgument: a file is not what it should be; the message names it.
absl::StatusOr<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& directory, const TokenizerLimits& limits);

// The same from the files' contents; `config` may be empty. For tests and fuzzing.
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json, std::string_view config,
                                                                const TokenizerLimits& limits);
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view model, std::string_view config,
                                                                     const TokenizerLimits& limits);

}  // namespace polymath::text
