#include "commands/model_text.h"

#include "text/gguf_tokenizer.h"

namespace polymath::commands {

absl::StatusOr<std::unique_ptr<text::Tokenizer>> load_tokenizer_of(const weights::TokenizerSource& source) {
  return source.gguf() ? text::load_gguf_tokenizer(source.metadata, {}) : text::load_tokenizer(source.directory, {});
}

absl::StatusOr<std::vector<text::NamedTemplate>> chat_templates_of(const weights::TokenizerSource& source) {
  return source.gguf() ? text::gguf_chat_templates(source.metadata) : text::find_chat_templates(source.directory);
}

absl::StatusOr<base::JsonValue> tokenizer_config_of(const weights::TokenizerSource& source) {
  if (source.gguf()) return text::gguf_tokenizer_config(source.metadata);
  return text::read_tokenizer_config(source.directory, {});
}

}  // namespace polymath::commands
