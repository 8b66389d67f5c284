#pragma once

// Text <-> token ids.
//
// Reads tokenizer.json (byte-level BPE, SentencePiece-like BPE, Unigram) with its normalizers, pre-tokenizers,
// post-processors and decoders; SentencePiece's tokenizer.model; tiktoken's files; Mistral's tekken.json.
// tokenizer_config.json, special_tokens_map.json and added_tokens.json add tokens and mark special ones.
//
// Thread safety: all const methods may run at once on many threads.
// Time is linear (times log) in the text; no input makes it quadratic.
// Sources: huggingface/tokenizers' tokenizer.json; sentencepiece_model.proto; BPE arXiv:1508.07909;
// Unigram arXiv:1804.10959.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::text {

using TokenId = int32_t;

struct TokenizerLimits {
  size_t file_bytes_max = 256u << 20;  // a larger file: kInvalidArgument
  size_t vocab_max = 4u << 20;         // more entries: kInvalidArgument
  size_t token_bytes_max = 64u << 10;  // a longer token: kInvalidArgument
};

// An id, and the bytes [begin, end) of the text that it comes from.
struct TextToken {
  TokenId id = -1;
  size_t begin = 0, end = 0;
};

// When encoding ends before the text does.
struct EncodeBounds {
  size_t tokens_max = SIZE_MAX;   // beyond: the rest of the text is left out
  std::function<bool()> stopped;  // asked now and then, on the calling thread; empty: never
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `add_special`: what the post-processor adds (BOS, EOS). Special tokens written out in the text become
  // their ids, as in transformers. Invalid UTF-8 is read as U+FFFD, never refused.
  virtual std::vector<TokenId> encode(std::string_view text, bool add_special) const = 0;

  // The first ids of encode(). It ends within some hundred words of tokens_max ids, and of stopped() being true. A text
  // without words, as SentencePiece has it, is encoded to its end.
  virtual std::vector<TokenId> encode_within(std::string_view text, bool add_special, const EncodeBounds&) const {
    return encode(text, add_special);
  }

  // The ids of encode(), each with its bytes: whole characters, so that the tokens of one character overlap. What
  // `add_special` adds has none. Of tokenizer.json they are the offsets of huggingface/tokenizers. Invalid UTF-8 counts
  // as the U+FFFD that it is read as. Slower than encode(). It ends early as encode_within() does.
  virtual std::vector<TextToken> encode_with_offsets(std::string_view text, bool add_special,
                                                     const EncodeBounds& bounds) const = 0;
  std::vector<TextToken> encode_with_offsets(std::string_view text, bool add_special) const {
    return encode_with_offsets(text, add_special, {});
  }

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

// Reads the first of tokenizer.json, tekken.json, tiktoken.model, *.tiktoken, tokenizer.model in a model directory.
// A directory in Mistral's format (params.json, no config.json) prefers its tekken.json.
// kNotFound: none is there. kInvalidArgument: a file is not what it should be; the message names it.
absl::StatusOr<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& directory, const TokenizerLimits& limits);

// tokenizer_config.json as an object, empty where there is none. Where it lists no added tokens, the two older files
// join it: special_tokens_map.json's names, and added_tokens.json as "added_tokens_encoder".
// kInvalidArgument: a file is no object, or too large.
absl::StatusOr<base::JsonValue> read_tokenizer_config(const std::string& directory, const TokenizerLimits& limits);

struct TokenizerFile {
  std::string name;  // without directories: it says the model family where the config does not
  std::string_view text;
};

// The same from the files' contents; `config` may be empty. For tests and fuzzing.
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json, std::string_view config,
                                                                const TokenizerLimits& limits);
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view model, std::string_view config,
                                                                     const TokenizerLimits& limits);
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tiktoken(const TokenizerFile& file, std::string_view config,
                                                          const TokenizerLimits& limits);
absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tekken(const TokenizerFile& file, std::string_view config,
                                                        const TokenizerLimits& limits);
bool is_tiktoken(std::string_view text);  // a token in base64 and a rank in the first line

}  // namespace polymath::text
