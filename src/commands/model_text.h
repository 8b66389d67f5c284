#pragma once

// Tokenizer and chat template of a model on disk, from a directory's files or from GGUF metadata.

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "weights/model_files.h"

namespace polymath::commands {

// kNotFound: the model has none.
absl::StatusOr<std::unique_ptr<text::Tokenizer>> load_tokenizer_of(const weights::TokenizerSource& source);
absl::StatusOr<std::vector<text::NamedTemplate>> chat_templates_of(const weights::TokenizerSource& source);
// tokenizer_config.json with what older files beside it say: an object, empty where there is none.
absl::StatusOr<base::JsonValue> tokenizer_config_of(const weights::TokenizerSource& source);

}  // namespace polymath::commands
