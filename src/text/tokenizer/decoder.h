#pragma once

// tokenizer.json's decoders: the spellings of tokens -> text.
//
// Types: Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace. Any other is kInvalidArgument by name.
// ByteFallback differs from tokenizers in runs that are partly invalid UTF-8. Whole characters stay, other bytes become
// U+FFFD, as in SentencePiece. tokenizers replaces the whole run, which would take back text already streamed.
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
