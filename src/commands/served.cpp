#include "commands/served.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/chat_prompt.h"
#include "api/sampling_fields.h"
#include "base/json.h"
#include "base/log.h"
#include "base/read_file.h"
#include "commands/model_text.h"
#include "engine/sampling/params.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

absl::Status read_defaults(const TextOptions& options, const Runtime& runtime, api::ServedModel& model) {
  if (options.generation_config == "vllm") return absl::OkStatus();
  auto json = runtime.files().generation_config();
  if (absl::IsNotFound(json.status())) return absl::OkStatus();
  RETURN_IF_ERROR(json.status());
  ASSIGN_OR_RETURN(model.defaults, api::parse_sampling_defaults(*json));
  return absl::OkStatus();
}

// A request that leaves out every field must not fail.
absl::Status check_defaults(const api::ServedModel& model) {
  const absl::Status checked = engine::check_sampling(api::default_sampling(model), model.vocab);
  if (checked.ok()) return checked;
  return absl::InvalidArgumentError(absl::StrCat(
      "the model's generation_config.json or config.json would make every request fail: ", checked.message(),
      "; --generation-config vllm leaves out the former"));
}

base::JsonObject message(const char* role) { return {{"role", role}, {"content", "Hello"}}; }

// Chats that a usable template takes one of.
absl::Status try_default_template(const api::ServedModel& model) {
  const base::JsonArray chats[] = {{message("user")},
                                   {message("system"), message("user")},
                                   {message("user"), message("assistant")},
                                   {message("user"), message("assistant"), message("user")}};
  absl::Status first;
  for (const base::JsonArray& messages : chats) {
    api::ChatPrompt chat;
    chat.messages = messages;
    const absl::Status status = api::render_chat(model, chat).status();
    if (status.ok()) return status;
    if (first.ok()) first = status;
  }
  return absl::InvalidArgumentError(absl::StrCat("the chat template ", std::string(text::kDefaultTemplate),
                                                 " refuses every chat: ", first.message()));
}

// "bos_token": "<s>", or {"content": "<s>", ...}: what templates call by these names.
absl::Status read_special_tokens(const weights::TokenizerSource& source, api::ServedModel& model) {
  ASSIGN_OR_RETURN(const base::JsonValue json, tokenizer_config_of(source));
  if (json.is_object()) model.tokenizer_config = json.get_object();
  for (const auto& member : json.get_object()) {
    if (!std::string_view(member.key().data(), member.key().size()).ends_with("_token")) continue;
    const base::JsonValue* value = &member.value();
    if (value->is_object()) value = value->get_object().if_contains("content");
    if (value != nullptr && value->is_string()) model.template_variables[member.key()] = *value;
  }
  return absl::OkStatus();
}

// --chat-template's file or text, and no other; else the model's own.
absl::StatusOr<std::vector<text::NamedTemplate>> templates_of(const TextOptions& options,
                                                              const weights::TokenizerSource& source) {
  if (options.chat_template.empty()) return chat_templates_of(source);
  const std::string name(text::kDefaultTemplate);
  std::error_code error;
  if (!std::filesystem::is_regular_file(options.chat_template, error)) {
    // The template itself, unless it looks like a missing file.
    if (options.chat_template.find('{') != std::string::npos)
      return std::vector{text::NamedTemplate{name, options.chat_template}};
    return absl::InvalidArgumentError(absl::StrCat("--chat-template: there is no file ", options.chat_template));
  }
  ASSIGN_OR_RETURN(std::string text,
                   base::read_file(options.chat_template, text::ChatTemplateLimits{}.source_bytes_max));
  return std::vector{text::NamedTemplate{name, std::move(text)}};
}

// The flags' formats over those that the template shows.
void choose_output(const TextOptions& options, text::OutputFormat& output) {
  if (options.tool_parser != "auto") output.calls = text::find_call_format(options.tool_parser);
  if (options.reasoning_parser != "auto") output.reasoning = text::find_reasoning_format(options.reasoning_parser);
}

// Says how the answers of the template for tools are read.
absl::Status check_output(const TextOptions& options, const api::ServedModel& model) {
  const api::ServedTemplate* for_tools = api::find_template(model, "", /*with_tools=*/true);
  if (for_tools == nullptr) return absl::OkStatus();
  const text::OutputFormat& output = for_tools->output;
  if (options.needs_tools && output.calls == nullptr) {
    return absl::InvalidArgumentError(
        "--enable-auto-tool-choice: the chat template shows no known format of tool calls; --tool-call-parser names "
        "it");
  }
  base::log_info("serve", "tool calls: ", output.calls == nullptr ? "stay text" : output.calls->name,
                 ", reasoning: ", output.reasoning == nullptr ? "stays text" : output.reasoning->name);
  return absl::OkStatus();
}

absl::Status read_templates(const TextOptions& options, const weights::TokenizerSource& source,
                            api::ServedModel& model) {
  const auto templates = templates_of(options, source);
  if (absl::IsNotFound(templates.status())) {
    base::log_warning("serve",
                      "the model has no chat template: chat requests are refused; --chat-template gives it one");
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(templates.status());
  for (const text::NamedTemplate& named : *templates) {
    auto made = api::make_template(model, named, api::content_format(options.content_format));
    if (!made.ok() && named.name != text::kDefaultTemplate) {
      base::log_warning("serve", "the chat template ", named.name, " is left out: ", made.status().message());
      continue;
    }
    if (!made.ok()) {
      return absl::Status(made.status().code(),
                          absl::StrCat("the chat template ", named.name, ": ", made.status().message()));
    }
    choose_output(options, made->output);
    model.chat_templates.push_back(*std::move(made));
  }
  RETURN_IF_ERROR(check_output(options, model));
  const bool has_default = api::find_template(model, "", /*with_tools=*/false) != nullptr;
  return has_default ? try_default_template(model) : absl::OkStatus();
}

absl::Status read_tokenizer(const TextOptions& options, const Runtime& runtime, api::ServedModel& model) {
  weights::TokenizerSource source = runtime.files().tokenizer_source();
  if (!options.tokenizer.empty()) {
    ASSIGN_OR_RETURN(const std::string path, weights::resolve_model(options.tokenizer, ""));
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
  return read_templates(options, source, model);
}

// The commit of .../snapshots/<commit> in a local Hugging Face cache; empty: the model is not from one.
std::string commit_of(const std::string& model_path) {
  constexpr size_t kDigits = 40;
  std::filesystem::path path(model_path);
  if (!path.has_filename()) path = path.parent_path();
  const std::string name = path.filename().string();
  const bool is_commit = path.parent_path().filename() == "snapshots" && name.size() == kDigits &&
                         name.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_commit ? name : "";
}

absl::StatusOr<api::ServedModel> make_served_model(const Options& options, const Runtime& runtime) {
  api::ServedModel model;
  model.names = options.model.served_names;
  if (model.names.empty()) model.names.push_back(served_name(options.model));
  model.root = options.model.name;
  model.revision = commit_of(runtime.files().path());
  model.input_len_max = options.server.input_tokens;
  for (const AdapterModule& module : options.model.adapters.modules) {
    const std::string& parent = module.base_model.empty() ? model.names.front() : module.base_model;
    model.adapters.push_back({module.name, module.path, parent});
  }
  model.vocab = runtime.config().vocab;
  model.eos_ids.assign(runtime.config().eos_ids.begin(), runtime.config().eos_ids.end());
  RETURN_IF_ERROR(read_defaults(options.text, runtime, model));
  RETURN_IF_ERROR(check_defaults(model));
  if (!options.text.skip_tokenizer) RETURN_IF_ERROR(read_tokenizer(options.text, runtime, model));
  return model;
}

}  // namespace

engine::Intake& Served::intake() const {
  if (replicas != nullptr) return *replicas;
  return runtime->engine();
}

std::vector<engine::Engine*> Served::engines() const {
  std::vector<engine::Engine*> out{&runtime->engine()};
  for (const auto& other : others) out.push_back(&other->engine());
  return out;
}

std::vector<const model::Transformer*> Served::models() const {
  std::vector<const model::Transformer*> out{&runtime->transformer()};
  for (const auto& other : others) out.push_back(&other->transformer());
  return out;
}

namespace {

absl::Status check_replicas(const RuntimeOptions& options) {
  if (options.replicas == 1) return absl::OkStatus();
  if (options.expert_parallel) {
    return absl::UnimplementedError("--data-parallel-size with --enable-expert-parallel is not built yet");
  }
  if (options.metrics.vllm_063 || options.metrics.tgi) {
    return absl::UnimplementedError(
        "--data-parallel-size with metrics under the names of TGI or vLLM 0.6.3, which have no label for replicas");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Served> prepare_served(const Options& options) {
  RETURN_IF_ERROR(check_replicas(options.runtime));
  Served served;
  ASSIGN_OR_RETURN(served.runtime, Runtime::open(options.model, options.runtime, {}));
  for (int r = 1; r < options.runtime.replicas; ++r) {
    ASSIGN_OR_RETURN(auto other, Runtime::open(options.model, options.runtime, {r, served.runtime.get()}));
    served.others.push_back(std::move(other));
  }
  ASSIGN_OR_RETURN(served.model, make_served_model(options, *served.runtime));
  return served;
}

absl::StatusOr<Served> build_served(const Options& options, base::MetricsRegistry& metrics) {
  ASSIGN_OR_RETURN(Served served, prepare_served(options));
  RETURN_IF_ERROR(served.runtime->load(metrics));
  served.model.model_len_max = served.runtime->model_len_max();
  if (served.others.empty()) return served;
  for (const auto& other : served.others) {
    RETURN_IF_ERROR(other->load(metrics));
    served.model.model_len_max = std::min(served.model.model_len_max, other->model_len_max());
  }
  served.replicas = std::make_unique<engine::ReplicaSet>(served.engines(), served.runtime->block_size());
  base::log_info("serve", served.engines().size(), " replicas share the requests; ",
                 served.runtime->shares_weights() ? "they read the same weights" : "each has weights of its own");
  return served;
}

}  // namespace polymath::commands
