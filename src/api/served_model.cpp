#include "api/served_model.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "api/status.h"

namespace polymath::api {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

// "message['content']", "m.content" or "content", optionally with a filter.
bool names_content(std::string_view expression) {
  expression = trim(expression.substr(0, expression.find('|')));
  constexpr std::array<std::string_view, 3> kEndings = {".content", "['content']", "[\"content\"]"};
  if (expression == "content") return true;
  return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view e) { return expression.ends_with(e); });
}

void set_token_variable(ServedModel& model, const char* name, std::optional<text::TokenId> id) {
  if (!id.has_value() || model.template_variables.contains(name)) return;
  model.template_variables[name] = boost::json::string(model.tokenizer->token_text(*id));
}

}  // namespace

absl::StatusOr<SamplingDefaults> parse_sampling_defaults(const base::JsonValue& generation_config) {
  base::JsonReader j(generation_config, "generation_config.json");
  SamplingDefaults d;
  d.temperature = static_cast<float>(j.f("temperature", d.temperature));
  d.top_p = static_cast<float>(j.f("top_p", d.top_p));
  d.top_k = j.i("top_k", d.top_k);
  d.min_p = static_cast<float>(j.f("min_p", d.min_p));
  d.repetition_penalty = static_cast<float>(j.f("repetition_penalty", d.repetition_penalty));
  if (j.has("max_new_tokens")) d.max_tokens = j.i("max_new_tokens");
  if (d.max_tokens.has_value() && *d.max_tokens < 1) j.complain("max_new_tokens", "must be at least 1");
  RETURN_IF_ERROR(j.status());
  return d;
}

void complete_tokenizer_facts(ServedModel& model) {
  if (model.tokenizer == nullptr) return;
  set_token_variable(model, "bos_token", model.tokenizer->bos_id());
  set_token_variable(model, "eos_token", model.tokenizer->eos_id());
  model.anchor = model.tokenizer->encode("a", false);
  for (size_t id = 0; id < model.tokenizer->vocab_size(); ++id) {
    const size_t bytes = model.tokenizer->token_text(static_cast<text::TokenId>(id)).size();
    model.token_bytes_max = std::max(model.token_bytes_max, bytes);
  }
}

bool template_wants_parts(std::string_view source) {
  for (size_t at = source.find("{%"); at != std::string_view::npos; at = source.find("{%", at + 2)) {
    const size_t end = source.find("%}", at);
    if (end == std::string_view::npos) return false;
    std::string_view statement = source.substr(at + 2, end - at - 2);
    while (!statement.empty() && (statement.front() == '-' || statement.front() == '+')) statement.remove_prefix(1);
    while (!statement.empty() && (statement.back() == '-' || statement.back() == '+')) statement.remove_suffix(1);
    statement = trim(statement);
    const size_t in = statement.find(" in ");
    if (statement.starts_with("for ") && in != std::string_view::npos && names_content(statement.substr(in + 4))) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<int> adapter_of(const ServedModel& model, std::string_view name) {
  if (std::find(model.names.begin(), model.names.end(), name) != model.names.end()) return -1;
  for (size_t i = 0; i < model.adapters.size(); ++i) {
    if (model.adapters[i].name == name) return static_cast<int>(i);
  }
  return absl::NotFoundError(absl::StrCat("the model `", std::string(name.substr(0, 128)),
                                          "` does not exist; /v1/models lists the served names"));
}

absl::Status need_tokenizer(const ServedModel& model, std::string_view what) {
  if (model.tokenizer != nullptr) return absl::OkStatus();
  return invalid(what, "this server runs without a tokenizer (--skip-tokenizer-init) and understands token ids alone");
}

}  // namespace polymath::api
