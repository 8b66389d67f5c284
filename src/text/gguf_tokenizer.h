#pragma once

// Tokenizer and chat template from GGUF metadata, rewritten as the files of a model directory. One code reads both.
//
// Source: the GGUF specification, "tokenizer.ggml.*" and "tokenizer.chat_template".

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace polymath::text {

// tokenizer_config.json: the special tokens by name ("bos_token": "<s>"), and chat_template.
// kInvalidArgument: a token id outside the vocabulary, or a key of a wrong type (named).
absl::StatusOr<base::JsonValue> gguf_tokenizer_config(const base::JsonObject& metadata);

// kNotFound: the file describes no tokenizer. kUnimplemented: a tokenizer model or pre-tokenizer that is not known
// (named). kInvalidArgument: as above, or a limit is passed.
absl::StatusOr<std::unique_ptr<Tokenizer>> load_gguf_tokenizer(const base::JsonObject& metadata,
                                                               const TokenizerLimits& limits);

// tokenizer.chat_template is the default, tokenizer.chat_template.<name> another. kNotFound: the file has none.
absl::StatusOr<std::vector<NamedTemplate>> gguf_chat_templates(const base::JsonObject& metadata);

}  // namespace polymath::text
