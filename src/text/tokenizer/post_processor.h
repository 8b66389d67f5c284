#pragma once

// tokenizer.json's post-processors, as far as ids go: the special tokens around a single text.
//
// Types: TemplateProcessing ("single"), BertProcessing, RobertaProcessing, ByteLevel (it moves offsets only),
// Sequence. Any other is kInvalidArgument by name.

#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct SpecialAround {
  std::vector<TokenId> before, after;
};

// `node` null or JSON null: nothing on either side. `vocabulary` with the added tokens.
absl::StatusOr<SpecialAround> read_post_processor(const base::JsonValue* node, const Vocabulary& vocabulary,
                                                  std::string_view path);

}  // namespace polymath::text
