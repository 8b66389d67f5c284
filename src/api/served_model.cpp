#include "api/served_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/output_probe.h"
#include "api/status.h"

namespace polymath::api {
namespace {

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
  d.presence_penalty = static_cast<float>(j.f("presence_penalty", d.presence_penalty));
  d.frequency_penalty = static_cast<float>(j.f("frequency_penalty", d.frequency_penalty));
  d.skip_special_tokens = j.b("skip_special_tokens", d.skip_special_tokens);
  if (j.has("max_new_tokens")) d.max_tokens = j.i("max_new_tokens");
  if (d.max_tokens.has_value() && *d.max_tokens < 1) j.complain("max_new_tokens", "must be at least 1");
  RETURN_IF_ERROR(j.status());
  return d;
}

void complete_tokenizer_facts(ServedModel& model) {
  if (model.tokenizer == nullptr) return;
  set_token_variable(model, "bos_token", model.tokenizer->bos_id());
  set_token_variable(model, "eos_token", model.tokenizer->eos_id());
  model.infill = find_infill(*model.tokenizer);
  for (size_t id = 0; id < model.tokenizer->vocab_size(); ++id) {
    const auto token = static_cast<text::TokenId>(id);
    const size_t bytes = model.tokenizer->token_text(token).size();
    if (model.tokenizer->is_special(token)) {
      std::string text = model.tokenizer->decode({&token, 1}, /*skip_special=*/false);
      if (text.starts_with(' ')) text.erase(0, 1);  // a decoder's
      if (!text.empty()) model.special_tokens.push_back({token, std::move(text)});
    }
    model.token_bytes_max = std::max(model.token_bytes_max, bytes);
  }
  model.grammars = std::make_shared<text::grammar::GrammarCache>(model.tokenizer, static_cast<size_t>(model.vocab),
                                                                 model.eos_ids, text::grammar::GrammarLimits{});
}

absl::StatusOr<ServedTemplate> make_template(const ServedModel& model, const text::NamedTemplate& named,
                                             ContentFormat format) {
  ASSIGN_OR_RETURN(text::ChatTemplate parsed, text::ChatTemplate::parse(named.source, {}));
  ServedTemplate out{named.name, std::make_shared<const text::ChatTemplate>(std::move(parsed)), {}, {}};
  out.form = probe_template(*out.renderer, named.source, model.template_variables, format);
  out.output = probe_output(*out.renderer, named.source, model.template_variables, out.form);
  return out;
}

const ServedTemplate* find_template(const ServedModel& model, std::string_view name, bool with_tools) {
  const auto named = [&](std::string_view wanted) -> const ServedTemplate* {
    const auto at = std::find_if(model.chat_templates.begin(), model.chat_templates.end(),
                                 [&](const ServedTemplate& t) { return t.name == wanted; });
    return at == model.chat_templates.end() ? nullptr : &*at;
  };
  if (!name.empty()) return named(name);
  const ServedTemplate* for_tools = with_tools ? named(text::kToolTemplate) : nullptr;
  return for_tools != nullptr ? for_tools : named(text::kDefaultTemplate);
}

absl::StatusOr<int> adapter_of(const ServedModel& model, std::string_view name) {
  if (std::find(model.names.begin(), model.names.end(), name) != model.names.end()) return -1;
  for (size_t i = 0; i < model.adapters.size(); ++i) {
    if (model.adapters[i].name == name) return static_cast<int>(i);
  }
  return absl::NotFoundError(absl::StrCat("the model `", excerpt(name, kParamBytesMax),
                                          "` does not exist; /v1/models lists the served names"));
}

absl::Status need_tokenizer(const ServedModel& model, std::string_view what) {
  if (model.tokenizer != nullptr) return absl::OkStatus();
  return invalid(what, "this server runs without a tokenizer (--skip-tokenizer-init) and understands token ids alone");
}

}  // namespace polymath::api
