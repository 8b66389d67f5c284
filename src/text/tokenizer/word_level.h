#pragma once

// A word is one token, or the unknown one.

#include <memory>

#include "base/json.h"
#include "text/tokenizer/token_model.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

// The "model" node of tokenizer.json, its vocabulary read already.
absl::StatusOr<std::unique_ptr<TokenModel>> read_word_level(const base::JsonValue& node,
                                                            std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace polymath::text
