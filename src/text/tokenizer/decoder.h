#pragma once

// tokenizer.json's decoders: the spellings of tokens -> text.
//
// Types: Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace. Any other is kInvalidArgument by name.
// ByteFallback differs from tokenizers in one thing: of bytes that are not UTF-8 as a whole, the whole characters
// are kept and only the others become U+FFFD, as in SentencePiece. (tokenizers makes all of them U+FFFD, so that a
// letter already streamed would have to be taken back.)
// Thread safety: apply() may run at once on many threads.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::text {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// `node` null or JSON null: a null pointer.
absl::StatusOr<std::unique_ptr<Decoder>> read_decoder(const base::JsonValue* node, std::string_view path);

// SentencePiece's own: bytes, blanks, and the blank that encoding put in front.
struct SentencePieceBlanks {
  bool strip_first = true;  // of the first token: one blank is dropped
  bool strip_all = false;   // all leading blanks are
};
std::unique_ptr<Decoder> make_sentencepiece_decoder(SentencePieceBlanks blanks);

}  // namespace polymath::text
