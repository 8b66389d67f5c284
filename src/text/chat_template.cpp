#include "text/chat_template.h"

#include "absl/strings/str_cat.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/json_value.h"
#include "text/jinja/parser.h"

namespace polymath::text {
namespace {

// Bytes that the variables take in a rendering, about.
size_t size_of(const base::JsonValue& json) {
  size_t bytes = sizeof(jinja::Value);
  if (const auto* text = json.if_string()) bytes += text->size();
  if (const auto* list = json.if_array()) {
    for (const auto& item : *list) bytes += size_of(item);
  }
  if (const auto* object = json.if_object()) {
    for (const auto& member : *object) bytes += sizeof(jinja::Value) + size_of(member.value());
  }
  return bytes;
}

// The limits of one rendering: they grow with its variables.
ChatTemplateLimits grown(ChatTemplateLimits limits, const base::JsonObject& variables) {
  size_t bytes = 0;
  for (const auto& member : variables) bytes += size_of(member.value());
  const auto* messages = variables.if_contains("messages");
  const size_t n = messages != nullptr && messages->is_array() ? messages->get_array().size() : 0;
  limits.steps_max += limits.steps_per_byte * bytes + limits.steps_per_pair * n * n;
  limits.memory_bytes_max += limits.memory_per_byte * bytes + limits.memory_per_pair * n * n;
  return limits;
}

absl::Status to_status(const jinja::TemplateError& error, int line) {
  if (error.from_template) return absl::InvalidArgumentError(error.message);
  return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", error.message));
}

}  // namespace

struct ChatTemplate::Program {
  explicit Program(const ChatTemplateLimits& l) : limits(l), parsed(l.memory_bytes_max) {}
  ChatTemplateLimits limits;
  jinja::Template parsed;
};

absl::StatusOr<ChatTemplate> ChatTemplate::parse(std::string_view source, const ChatTemplateLimits& limits) {
  if (source.size() > limits.source_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a chat template of ", source.size(), " bytes; at most ", limits.source_bytes_max));
  }
  auto program = std::make_unique<Program>(limits);
  try {
    jinja::parse_template(source, limits.depth_max, program->parsed);
  } catch (const jinja::TemplateError& error) {
    return to_status(error, program->parsed.budget.line);
  }
  return ChatTemplate(std::move(program));
}

absl::StatusOr<RenderedChat> ChatTemplate::render(const base::JsonValue& variables, int64_t now_unix) const {
  if (!variables.is_object()) return absl::InvalidArgumentError("a chat template's variables are not an object");
  const ChatTemplateLimits limits = grown(program_->limits, variables.get_object());
  jinja::Budget budget(limits.memory_bytes_max, limits.steps_max);
  try {
    jinja::Interpreter interpreter(budget, {limits.output_bytes_max, limits.depth_max, now_unix});
    for (const auto& member : variables.get_object()) {
      const std::string_view key(member.key().data(), member.key().size());
      interpreter.define(key, jinja::json_value(budget, member.value()));
    }
    return interpreter.render(program_->parsed.body);
  } catch (const jinja::TemplateError& error) {
    return to_status(error, budget.line);
  }
}

bool ChatTemplate::loops_over_content() const { return jinja::loops_over_content(program_->parsed.body); }

ChatTemplate::ChatTemplate(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

}  // namespace polymath::text
