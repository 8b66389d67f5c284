#pragma once

// The model as the APIs see it: names, lengths, tokenizer, chat template, sampling defaults.
//
// Thread safety: const after construction.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/chat/message_form.h"
#include "api/request/infill.h"
#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/grammar/grammar_cache.h"
#include "text/output/output_parser.h"
#include "text/tokenizer.h"

namespace polymath::api {

// Defaults of sampling fields that a request leaves out.
struct SamplingDefaults {
  float temperature = 1;
  float top_p = 1;
  int top_k = 0;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  bool skip_special_tokens = true;
  std::optional<int> max_tokens;  // an upper bound for requests without one
};

// Reads generation_config.json: temperature, top_p, top_k, min_p, the penalties, skip_special_tokens, max_new_tokens.
absl::StatusOr<SamplingDefaults> parse_sampling_defaults(const base::JsonValue& generation_config);

// A LoRA adapter over the model. Requests choose it by name.
struct ServedAdapter {
  std::string name;
  std::string root;    // the adapter's path
  std::string parent;  // the base model's name
};

// A chat template and how it reads messages.
struct ServedTemplate {
  std::string name;
  std::shared_ptr<const text::ChatTemplate> renderer;
  MessageForm form;
  text::OutputFormat output;  // how its model writes tool calls and reasoning
};

struct SpecialToken {
  int32_t id = 0;
  std::string text;
};

struct ServedModel {
  std::vector<std::string> names;       // of the base model; at least one; responses and metrics carry the first
  std::vector<ServedAdapter> adapters;  // by engine::Request::adapter; names are unique and differ from `names`
  std::string root;                     // the value of --model
  std::string revision;                 // the commit of the local Hugging Face cache; empty: not from there
  int model_len_max = 0;                // prompt and output tokens together
  int input_len_max = 0;                // of them the prompt's; 0: no bound of its own
  int vocab = 0;                        // ids are below it
  std::vector<int32_t> eos_ids;
  SamplingDefaults defaults;

  std::shared_ptr<const text::Tokenizer> tokenizer;  // null: --skip-tokenizer-init; ids alone
  std::vector<ServedTemplate> chat_templates;        // by name; empty: the model has none; chat refuses
  base::JsonObject tokenizer_config;                 // tokenizer_config.json; empty: there is none
  base::JsonObject template_variables;               // bos_token, eos_token, ...: the same for every chat
  std::optional<InfillTokens> infill;                // absent: the tokenizer has no such tokens
  std::vector<SpecialToken> special_tokens;
  size_t token_bytes_max = 0;                             // longest entry of the vocabulary, in bytes
  std::shared_ptr<text::grammar::GrammarCache> grammars;  // null: no tokenizer
};

// Sets what follows from the tokenizer: bos_token and eos_token unless given, the longest entry, infill tokens, the
// cache of grammars. REQUIRES: vocab and eos_ids are set.
void complete_tokenizer_facts(ServedModel& model);

// Parses a template and finds its form. REQUIRES: the model's template_variables are set.
absl::StatusOr<ServedTemplate> make_template(const ServedModel& model, const text::NamedTemplate& named,
                                             ContentFormat format);

// The template named so. Without a name: "tool_use" for a request with tools if there is one, else "default".
// Null: there is none.
const ServedTemplate* find_template(const ServedModel& model, std::string_view name, bool with_tools);

// The adapter that a request's model name chooses: its index, or -1 for the base model. kNotFound: neither.
absl::StatusOr<int> adapter_of(const ServedModel& model, std::string_view name);

// kInvalidArgument, naming `what` and the flag: there is no tokenizer.
absl::Status need_tokenizer(const ServedModel& model, std::string_view what);

}  // namespace polymath::api
