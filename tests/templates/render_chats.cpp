// Renders chats in bulk, as the server would: tools/compare_templates.py compares them with Jinja2's.
//
//   render_chats < cases.jsonl > texts.jsonl
//
// A line in: {"template": "...", "variables": {"bos_token": "<s>"}, "requests": [{"messages": [...]}, ...]}.
// A line out: {"form": {...}, "answers": [{"text": "..."} or {"error": "..."}, ...]}, or {"error": "..."}.

#include <iostream>
#include <string>
#include <utility>

#include "api/chat/chat_prompt.h"

namespace polymath {
namespace {

constexpr const char* kTokenizer = R"({"model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"}})";

base::JsonObject error_of(const absl::Status& status) {
  return {{"error", boost::json::string(std::string(status.message()))}};
}

base::JsonObject answer(const api::ServedModel& model, const base::JsonValue& request) {
  const auto chat = api::parse_chat_prompt(request, {}, /*trust_template=*/false);
  if (!chat.ok()) return error_of(chat.status());
  const auto rendered = api::render_chat(model, *chat);
  if (!rendered.ok()) return error_of(rendered.status());
  return {{"text", boost::json::string(rendered->text)}};
}

base::JsonObject form_json(const api::MessageForm& form) {
  return {{"system", static_cast<int>(form.system)},
          {"user", static_cast<int>(form.user)},
          {"assistant", static_cast<int>(form.assistant)},
          {"tool", static_cast<int>(form.tool)},
          {"named_results", form.named_results},
          {"arguments_as_text", form.arguments_as_text},
          {"null_beside_calls", form.null_beside_calls},
          {"shows_developer", form.shows_developer},
          {"several_systems", form.several_systems},
          {"scattered_systems", form.scattered_systems},
          {"system_and_developer", form.system_and_developer}};
}

base::JsonObject answer_line(const std::string& line) {
  const auto json = base::parse_json(line, {});
  if (!json.ok()) return error_of(json.status());
  api::ServedModel model;
  auto tokenizer = text::parse_tokenizer_json(kTokenizer, "{}", {});
  if (!tokenizer.ok()) return error_of(tokenizer.status());
  model.tokenizer = *std::move(tokenizer);
  model.template_variables = json->at("variables").get_object();
  const std::string source(json->at("template").get_string());
  auto made = api::make_template(model, {std::string(text::kDefaultTemplate), source}, api::ContentFormat::kAuto);
  if (!made.ok()) return error_of(made.status());
  model.chat_templates.push_back(*std::move(made));
  base::JsonArray answers;
  for (const auto& request : json->at("requests").get_array()) answers.push_back(answer(model, request));
  return {{"form", form_json(model.chat_templates.front().form)}, {"answers", std::move(answers)}};
}

}  // namespace
}  // namespace polymath

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << polymath::base::to_text(polymath::answer_line(line)) << "\n";
  }
  return 0;
}
