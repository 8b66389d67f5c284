#pragma once

// tokenizer.json's post-processors: the special tokens around a single text, and what offsets leave out.
//
// Types: TemplateProcessing ("single"), BertProcessing, RobertaProcessing, ByteLevel, Sequence. Any other is
// kInvalidArgument by name.

#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct SpecialAround {
  std::vector<TokenId> before, after;
  bool trims = false;         // offsets leave out the blanks at a token's ends (ByteLevel, RobertaProcessing)
  bool prefix_space = false;  // the first token's first blank was added: it is left in
};

// `node` null or JSON null: nothing on either side. `vocabulary` with the added tokens.
absl::StatusOr<SpecialAround> read_post_processor(const base::JsonValue* node, const Vocabulary& vocabulary,
                                                  std::string_view path);

}  // namespace polymath::text
