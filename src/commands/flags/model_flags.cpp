// Flags of the model: its files, types, length, text and adapters.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "commands/adapters.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "commands/quantization.h"
#include "text/output/call_format.h"
#include "text/output/reasoning_format.h"

namespace polymath::commands {
namespace {

constexpr int64_t kLogprobsMax = 1 << 20;  // more than any vocabulary has: refused
constexpr int64_t kIntervalMax = 1 << 20;  // a longer interval of a stream: refused

absl::Status set_error_format(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const std::string form, parse_choice(value, {"nested", "flat"}));
  o.server.flat_errors = form == "flat";
  return absl::OkStatus();
}

absl::Status set_served_names(Options& o, std::string_view value) {
  if (value.empty() || value.size() > 256) return absl::InvalidArgumentError("a name of 1 to 256 bytes");
  o.model.served_names.emplace_back(value);
  return absl::OkStatus();
}

absl::Status set_dtype(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.model.dtype, parse_choice(value, {"auto", "float32", "float16", "bfloat16", "half", "float"}));
  return absl::OkStatus();
}

absl::Status set_load_format(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.model.load_format, parse_choice(value, {"auto", "safetensors", "gguf", "dummy"}));
  if (o.model.load_format == "gguf") o.model.gguf = true;
  return absl::OkStatus();
}

absl::Status set_quantization(Options& o, std::string_view value) {
  o.model.gguf = value == "gguf";
  o.model.quantization = value == "none" || value == "None" || value == "gguf" ? "" : std::string(value);
  return check_quantization(o.model.quantization);
}

absl::Status set_hf_overrides(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(value, {.bytes_max = 1u << 20, .non_finite = true}));
  if (!json.is_object()) return absl::InvalidArgumentError("must be a JSON object");
  o.model.hf_overrides = json.get_object();
  return absl::OkStatus();
}

absl::Status set_model_len(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t length, parse_length(value, {2, kModelLenMax}));
  o.model.max_model_len = static_cast<int>(length);
  return absl::OkStatus();
}

absl::Status set_seed(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t seed, parse_int(value, {INT64_MIN, INT64_MAX}));
  o.model.seed = o.run.seed = static_cast<uint64_t>(seed);
  return absl::OkStatus();
}

absl::Status set_generation_config(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.text.generation_config, parse_choice(value, {"auto", "vllm"}));
  return absl::OkStatus();
}

absl::Status set_content_format(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.text.content_format, parse_choice(value, {"auto", "string", "openai"}));
  return absl::OkStatus();
}

template <typename Formats>
absl::Status set_format(std::string& out, std::string_view value, const Formats& formats) {
  std::string names = "auto, none";
  for (const auto& format : formats) {
    absl::StrAppend(&names, ", ", std::string(format.name));
    const auto& aliases = format.aliases;
    const bool is_named = format.name == value || std::find(aliases.begin(), aliases.end(), value) != aliases.end();
    if (is_named) out = value;
  }
  if (value == "auto" || value == "none") out = value;
  return out == value ? absl::OkStatus() : absl::InvalidArgumentError("must be one of " + names);
}

absl::Status set_tool_parser(Options& o, std::string_view value) {
  return set_format(o.text.tool_parser, value, text::call_formats());
}

absl::Status set_reasoning_parser(Options& o, std::string_view value) {
  return set_format(o.text.reasoning_parser, value, text::reasoning_formats());
}

absl::Status add_adapter(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(AdapterModule module, parse_adapter(value));
  o.model.adapters.modules.push_back(std::move(module));
  return absl::OkStatus();
}

absl::Status warn_remote_code(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  if (wanted) o.warnings.emplace_back("--trust-remote-code changes nothing: code from a model directory is never run");
  return absl::OkStatus();
}

constexpr Flag kFlags[] = {
    {"model", "", FlagKind::kValue, kModels | kBenchServe, "MODEL", "",
     "A model directory or GGUF file, or org/name from the local Hugging Face cache; the same as the argument without "
     "a flag. Under bench serve the name that requests carry; by default the first that the server lists.",
     set_text<&ModelOptions::name>},
    {"revision", "", FlagKind::kValue, kModels | kDoctor | kPull, "NAME", "main", "Branch, tag or commit of org/name.",
     set_text<&ModelOptions::revision>},
    {"tokenizer", "", FlagKind::kValue, kServe | kRun, "MODEL", "the model's own", "Where the tokenizer is read from.",
     set_text<&TextOptions::tokenizer>},
    {"skip-tokenizer-init", "", kSwitch, kServe | kBench, "", "off",
     "No tokenizer: prompts are token ids and answers carry token_ids and empty text.",
     set_bool<&TextOptions::skip_tokenizer>},
    {"served-model-name", "", kList, kServe | kBenchServe, "NAME", "what --model says",
     "Names that requests may use; the first is the one that metrics and answers carry. Under bench serve the name "
     "that requests carry.",
     set_served_names},
    {"dtype", "", FlagKind::kValue, kShapes | kBenchQuality, "TYPE", "auto",
     "Type that weights are kept in: auto (the checkpoint's), float32, float16, bfloat16, half, float.", set_dtype},
    {"max-model-len", "", FlagKind::kValue, kLoads | kPlans, "TOKENS", "auto",
     "Tokens of a prompt and its answer together, at most what the model's rotation reaches; auto: "
     "max_position_embeddings, or what the KV cache holds if it is less. 32k and 32K are understood.",
     set_model_len},
    {"load-format", "", FlagKind::kValue, kLoads | kBenchQuality, "FORMAT", "auto",
     "auto or safetensors: the checkpoint; gguf: the directory's GGUF file; dummy: random weights, for measuring.",
     set_load_format},
    {"quantization", "-q", FlagKind::kValue, kLoads | kBenchQuality, "METHOD", "none",
     "int8, fp8, mxfp4, q8_0 or q4_k: pack a plain checkpoint's linear layers and experts at load. gguf: the GGUF file "
     "of the model's directory, which has safetensors too. A scheme's name (awq, gptq, ...): the checkpoint must be "
     "quantised so; without the flag, it says so itself.",
     set_quantization},
    {"hf-overrides", "", FlagKind::kValue, kModels, "JSON", "{}",
     "Members to put over those of config.json; null removes a member, such as one that the model is refused for.",
     set_hf_overrides},
    {"seed", "", FlagKind::kValue, kLoads | kBenchServe, "N", "0 for dummy weights and loads, random for answers",
     "Seed of dummy weights; under run also of the answer; under bench serve of arrivals, lengths and prompts. A "
     "request without a seed of its own gets a random one.",
     set_seed},
    {"generation-config", "", FlagKind::kValue, kServe | kRun, "WHERE", "auto",
     "auto: sampling defaults of the model's generation_config.json; vllm: neutral ones.", set_generation_config},
    {"chat-template", "", FlagKind::kValue, kServe | kRun, "FILE|TEXT", "the model's own",
     "A Jinja template, as a file or written out.", set_text<&TextOptions::chat_template>},
    {"chat-template-content-format", "", FlagKind::kValue, kServe | kRun, "FORMAT", "auto",
     "string: a message's content is one text; openai: a list of parts; auto: as the template reads it.",
     set_content_format},
    {"tool-call-parser", "", FlagKind::kValue, kServe, "NAME", "auto",
     "The format of the model's tool calls, by vLLM's name; auto: as its chat template writes them; none: calls stay "
     "text.",
     set_tool_parser},
    {"enable-auto-tool-choice", "", kSwitch, kServe, "", "off",
     "Refuse to start where tool calls would stay text. Without the flag they are read wherever the format is known.",
     set_bool<&TextOptions::needs_tools>},
    {"reasoning-parser", "", FlagKind::kValue, kServe, "NAME", "auto",
     "How the model marks its reasoning, by vLLM's name; auto: as its chat template does; none: it stays text.",
     set_reasoning_parser},
    {"trust-request-chat-template", "", kSwitch, kServe, "", "off",
     "Requests may bring a template of their own (bounded in steps, memory and output).",
     set_bool<&ServerOptions::trust_request_chat_template>},
    {"max-logprobs", "", FlagKind::kValue, kServe, "N", "20",
     "Most likely tokens that a request may ask for beside each token; -1: the whole vocabulary.",
     set_int<&ServerOptions::logprobs, -1, kLogprobsMax>},
    {"max-stop-strings", "", FlagKind::kValue, kServe, "N", "64",
     "Stop strings that a request may have; 1 to 1024. Also VLLM_MAX_STOP_STRINGS.",
     set_int<&ServerOptions::stop_strings, 1, 1024>},
    {"max-best-of", "", FlagKind::kValue, kServe, "N", "20",
     "Candidates that best_of of TGI's API may ask for; 1 to 128.", set_int<&ServerOptions::best_of, 1, 128>},
    {"max-top-n-tokens", "", FlagKind::kValue, kServe, "N", "20",
     "Most likely tokens that top_n_tokens of TGI's API may ask for; 0 to 1000.",
     set_int<&ServerOptions::top_tokens, 0, 1000>},
    {"max-client-batch-size", "", FlagKind::kValue, kServe, "N", "1024",
     "Prompts of one completion request, and instances of a Vertex request; 1 to 1024.",
     set_int<&ServerOptions::prompts, 1, 1024>},
    {"max-input-tokens", "", FlagKind::kValue, kServe, "TOKENS", "what --max-model-len leaves",
     "Tokens of a prompt alone; a longer one is refused.", set_int<&ServerOptions::input_tokens, 1, kModelLenMax>},
    {"share-prefix-cache", "", kSwitch, kServe, "", "off",
     "Prompts share cached prefixes between API keys. A key then sees from cached_tokens what others have sent.",
     set_bool<&ServerOptions::share_prefix_cache>},
    {"error-format", "", FlagKind::kValue, kServe, "FORM", "nested",
     "Error bodies of OpenAI's routes: nested ({\"error\": {...}}), or flat as in vLLM 0.6.3.", set_error_format},
    {"enable-tokenizer-info-endpoint", "", kSwitch, kServe, "", "off",
     "GET /tokenizer_info answers tokenizer_config.json, chat template included.",
     set_bool<&ServerOptions::tokenizer_info>},
    {"enable-per-request-metrics", "", kSwitch, kServe, "", "off",
     "Answers of OpenAI's routes carry their times as metrics; streams with the usage.",
     set_bool<&ServerOptions::request_metrics>},
    {"stream-interval", "", FlagKind::kValue, kServe, "N", "1",
     "Tokens of a stream's chunk, but for the first and the last; a request's stream_interval goes first.",
     set_int<&ServerOptions::stream_interval, 1, kIntervalMax>},
    {"clamp-max-tokens", "", kSwitch, kServe, "", "off",
     "A max_tokens beyond what the context has left becomes what is left; else such a request is refused.",
     set_bool<&ServerOptions::clamp_max_tokens>},
    {"enable-lora", "", kSwitch, kServe, "", "off", "Serve the LoRA adapters of --lora-modules.",
     set_bool<&AdapterOptions::enabled>},
    {"lora-modules", "", kList, kServe, "NAME=PATH", "none",
     "LoRA adapters in PEFT's format, as NAME=PATH or {\"name\": ..., \"path\": ...}. A request's model names one. Up "
     "to 64.",
     add_adapter},
    {"max-loras", "", FlagKind::kValue, kServe, "N", "the number of --lora-modules",
     "Bound on --lora-modules: all of them may be in one batch. 1 to 64.",
     set_int<&AdapterOptions::n_max, 1, kAdaptersMax>},
    {"max-lora-rank", "", FlagKind::kValue, kServe, "N", "16", "An adapter of a larger rank is refused; 1 to 512.",
     set_int<&AdapterOptions::rank_max, 1, kAdapterRankMax>},
    {"trust-remote-code", "", kSwitch, kAll, "", "off",
     "Accepted with a warning: code from a model directory is never run.", warn_remote_code},
};

}  // namespace

std::span<const Flag> model_flags() { return kFlags; }

}  // namespace polymath::commands
