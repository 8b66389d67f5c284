#include "commands/served.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "commands/model_text.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

absl::Status read_defaults(const Settings& settings, const House& house, api::ServedModel& model) {
  if (settings.generation_config == "vllm") return absl::OkStatus();
  auto json = house.files().generation_config();
  if (absl::IsNotFound(json.status())) return absl::OkStatus();
  RETURN_IF_ERROR(json.status());
  ASSIGN_OR_RETURN(model.defaults, api::parse_sampling_defaults(*json));
  return absl::OkStatus();
}

// "bos_token": "<s>", or {"content": "<s>", ...}: what templates call by these names.
absl::Status read_special_tokens(const weights::TokenizerSource& source, api::ServedModel& model) {
  auto json = tokenizer_config_of(source);
  if (absl::IsNotFound(json.status())) return absl::OkStatus();
  RETURN_IF_ERROR(json.status());
  if (!json->is_object()) return absl::OkStatus();
  for (const auto& member : json->get_object()) {
    if (!std::string_view(member.key().data(), member.key().size()).ends_with("_token")) continue;
    const base::JsonValue* value = &member.value();
    if (value->is_object()) value = value->get_object().if_contains("content");
    if (value != nullptr && value->is_string()) model.template_variables[member.key()] = *value;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> template_source(const Settings& settings, const weights::TokenizerSource& source) {
  if (settings.chat_template.empty()) return chat_template_of(source);
  std::error_code error;
  if (!std::filesystem::is_regular_file(settings.chat_template, error)) {
    // Written out, unless it looks like a file that is not there.
    if (settings.chat_template.find('{') != std::string::npos) return settings.chat_template;
    return absl::InvalidArgumentError(absl::StrCat("--chat-template: there is no file ", settings.chat_template));
  }
  std::ifstream in(settings.chat_template, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in) return absl::DataLossError(absl::StrCat(settings.chat_template, ": cannot be read"));
  return text;
}

absl::Status read_template(const Settings& settings, const weights::TokenizerSource& tokenizer_source,
                           api::ServedModel& model) {
  auto source = template_source(settings, tokenizer_source);
  if (absl::IsNotFound(source.status())) {
    base::log_warning("serve",
                      "the model has no chat template: chat requests are refused; --chat-template gives it one");
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(source.status());
  auto parsed = text::ChatTemplate::parse(*source, {});
  if (!parsed.ok()) {
    return absl::Status(parsed.status().code(), absl::StrCat("the chat template: ", parsed.status().message()));
  }
  model.chat_template = std::make_shared<const text::ChatTemplate>(*std::move(parsed));
  model.content_as_parts =
      settings.content_format == "auto" ? api::template_wants_parts(*source) : settings.content_format == "openai";
  return absl::OkStatus();
}

absl::Status read_tokenizer(const Settings& settings, const House& house, api::ServedModel& model) {
  weights::TokenizerSource source = house.files().tokenizer_source();
  if (!settings.tokenizer.empty()) {
    ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(settings.tokenizer, ""));
    ASSIGN_OR_RETURN(const auto files, weights::open_model_files(path));
    source = files->tokenizer_source();
  }
  auto tokenizer = load_tokenizer_of(source);
  if (absl::IsNotFound(tokenizer.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(tokenizer.status().message(),
                     ". --tokenizer says where one is; --skip-tokenizer-init serves token ids without one"));
  }
  RETURN_IF_ERROR(tokenizer.status());
  model.tokenizer = *std::move(tokenizer);
  if (model.tokenizer->vocab_size() > static_cast<size_t>(model.vocab)) {
    base::log_warning("serve", "the tokenizer has ", model.tokenizer->vocab_size(), " entries, the model only ",
                      model.vocab);
  }
  RETURN_IF_ERROR(read_special_tokens(source, model));
  api::complete_tokenizer_facts(model);
  return read_template(settings, source, model);
}

absl::StatusOr<api::ServedModel> make_served_model(const Settings& settings, const House& house) {
  api::ServedModel model;
  model.names = settings.served_names;
  if (model.names.empty()) model.names.push_back(served_name(settings));
  model.root = settings.model;
  model.vocab = house.config().vocab;
  model.eos_ids.assign(house.config().eos_ids.begin(), house.config().eos_ids.end());
  RETURN_IF_ERROR(read_defaults(settings, house, model));
  if (!settings.skip_tokenizer) RETURN_IF_ERROR(read_tokenizer(settings, house, model));
  return model;
}

}  // namespace

absl::StatusOr<Served> build_served(const Settings& settings, base::MetricsRegistry& metrics) {
  Served served;
  ASSIGN_OR_RETURN(served.house, House::open(settings));
  ASSIGN_OR_RETURN(served.model, make_served_model(settings, *served.house));
  RETURN_IF_ERROR(served.house->load(settings, metrics));
  served.model.model_len_max = served.house->model_len_max();
  return served;
}

}  // namespace polymath::commands
