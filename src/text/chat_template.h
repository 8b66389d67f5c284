#pragma once

// Messages -> the prompt's text, by the model's own Jinja template.
//
// A subset of Jinja2 that published chat templates need. It has expressions, filters, tests, set, if, for with loop
// controls, macros, namespace, raise_exception, strftime_now, tojson. The environment is transformers': trim_blocks and
// lstrip_blocks on, autoescape off, immutable sandbox.
// A template reaches only its own values: no attributes, imports or includes. Steps, depth and output are bounded, so
// that it can neither run code nor run for ever.
//
// Thread safety: render() may run at once on many threads.
// Source: Jinja2 3.1's template designer documentation; transformers' utils/chat_template_utils.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/rendered_chat.h"

namespace polymath::text {

// The bounds of one rendering grow with its variables: a chat that fits a context meets none of them. Some templates
// look through all messages at each, so pairs of messages count.
struct ChatTemplateLimits {
  size_t source_bytes_max = 1u << 20;   // a longer template: kInvalidArgument
  size_t steps_max = 2'000'000;         // evaluated nodes; beyond: kInvalidArgument
  size_t steps_per_byte = 16;           // more of them for each byte of the variables
  size_t steps_per_pair = 32;           // and for each pair of messages: their number squared
  size_t output_bytes_max = 64u << 20;  // beyond: kInvalidArgument
  size_t memory_bytes_max = 64u << 20;  // of values, text and tree; beyond: kInvalidArgument
  size_t memory_per_byte = 32;          // more of it, as above
  size_t memory_per_pair = 32;
  int depth_max = 200;  // nested expressions, blocks or macro calls; beyond: kInvalidArgument
};

class ChatTemplate {
 public:
  // kInvalidArgument with the line: not Jinja, or Jinja that is not supported (named).
  static absl::StatusOr<ChatTemplate> parse(std::string_view source, const ChatTemplateLimits& limits);

  // `variables`: an object ({"messages": [...], "add_generation_prompt": true, "tools": ..., "bos_token": "<s>"}).
  // kInvalidArgument: raise_exception's own message (prefixed with nothing), or a bound met.
  // `now_unix`: what strftime_now formats, in seconds since 1970 (UTC offset applied by the caller).
  absl::StatusOr<RenderedChat> render(const base::JsonValue& variables, int64_t now_unix) const;

  // The template walks the parts of a message's content: {% for part in message.content %}.
  bool loops_over_content() const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

// A model may have several templates. "default" is for requests that name none, "tool_use" for those with tools.
constexpr std::string_view kDefaultTemplate = "default", kToolTemplate = "tool_use";

struct NamedTemplate {
  std::string name;
  std::string source;
};

constexpr size_t kNamedTemplatesMax = 32;  // of one model; more: kInvalidArgument

// The templates of a model directory, the default first and the others by name.
// chat_template.jinja and additional_chat_templates/<name>.jinja; only without any, tokenizer_config.json, whose
// chat_template is a string or a list of {name, template}, then chat_template.json. A name's first source wins.
// kNotFound: the model has none.
absl::StatusOr<std::vector<NamedTemplate>> find_chat_templates(const std::string& directory);

// Puts the default first and sorts the others. kNotFound: there is none. kInvalidArgument: more than
// kNamedTemplatesMax.
absl::StatusOr<std::vector<NamedTemplate>> in_order(std::vector<NamedTemplate> templates, std::string_view origin);

}  // namespace polymath::text
