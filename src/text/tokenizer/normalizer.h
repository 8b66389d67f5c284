#pragma once

// tokenizer.json's normalizers: text -> text, before it is cut into words.
//
// Types: Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Nmt, Precompiled,
// ByteLevel. Any other is kInvalidArgument by name.
// Thread safety: apply() may run at once on many threads.

#include <memory>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer/aligned_text.h"

namespace polymath::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is valid UTF-8, and so is what comes out. `at_start`: the text begins the whole input.
  virtual AlignedText apply(AlignedText text, bool at_start) const = 0;
};

// `node` null or JSON null: a null pointer.
absl::StatusOr<std::unique_ptr<Normalizer>> read_normalizer(const base::JsonValue* node, std::string_view path);

}  // namespace polymath::text
