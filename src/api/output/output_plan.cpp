#include "api/output/output_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/chat/chat_prompt.h"
#include "api/chat/tool_types.h"
#include "api/served_model.h"
#include "base/hash.h"

namespace polymath::api {

OutputPlan make_output_plan(const ServedModel& model, const ChatPrompt& chat, text::OutputFormat format,
                            std::string_view prompt) {
  OutputPlan out;
  if (chat.tools.is_null()) format.calls = nullptr;
  if (format.is_plain()) return out;
  out.format = format;
  out.one_call = !chat.parallel_calls;
  out.hides_reasoning = !chat.include_reasoning;
  if (format.calls != nullptr) out.options.types = declared_types(chat.tools);
  if (format.reasoning != nullptr) {
    out.options.in_reasoning = text::begins_in_reasoning(*format.reasoning, prompt);
    out.has_reasoned = text::ends_reasoning(*format.reasoning, prompt);
  }
  const auto marks = text::marks_of(format);
  for (const SpecialToken& token : model.special_tokens) {
    const bool is_part = std::any_of(marks.begin(), marks.end(), [&](std::string_view mark) {
      return mark.find(token.text) != std::string_view::npos;
    });
    if (is_part) out.shown.push_back(token.id);
  }
  return out;
}

std::string new_call_id(bool is_short) {
  uint64_t words[2];
  base::random_bytes(words, sizeof(words));
  const std::string hex = absl::StrFormat("%016x%016x", words[0], words[1]);
  return is_short ? hex.substr(0, 9) : absl::StrCat("call_", hex.substr(0, 24));
}

}  // namespace polymath::api
