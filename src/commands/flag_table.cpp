// Every flag: name, kind, verbs, default, help, and its effect. The help has the same order.

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "commands/adapters.h"
#include "commands/flag_values.h"
#include "commands/flags.h"
#include "commands/speculation.h"
#include "engine/policy.h"

namespace polymath::commands {
namespace {

constexpr FlagKind kSwitch = FlagKind::kSwitch;
constexpr FlagKind kList = FlagKind::kList;
constexpr uint8_t kLoads = kServe | kRun | kBench;  // verbs that load a model
constexpr uint8_t kAll = kLoads | kInspect | kKernels;
constexpr uint8_t kShapes = kLoads | kKernels;  // verbs that ask a backend about a model's shapes

constexpr int64_t kModelLenMax = 1 << 24;    // a longer context than any model's: refused
constexpr int64_t kSequencesMax = 1 << 16;   // more at once than memory holds: refused
constexpr int64_t kStepTokensMax = 1 << 20;  // a larger forward pass than scratch memory holds: refused
constexpr int64_t kWaitingMax = 1 << 20;     // a longer queue: refused

template <class Part>
Part& part_of(Options& o) {
  if constexpr (std::is_same_v<Part, ModelOptions>) return o.model;
  if constexpr (std::is_same_v<Part, AdapterOptions>) return o.model.adapters;
  if constexpr (std::is_same_v<Part, TextOptions>) return o.text;
  if constexpr (std::is_same_v<Part, RuntimeOptions>) return o.runtime;
  if constexpr (std::is_same_v<Part, ServerOptions>) return o.server;
  if constexpr (std::is_same_v<Part, RunOptions>) return o.run;
  if constexpr (std::is_same_v<Part, BenchOptions>) return o.bench;
  if constexpr (std::is_same_v<Part, InspectOptions>) return o.inspect;
  if constexpr (std::is_same_v<Part, KernelsOptions>) return o.kernels;
}

template <class Part, class Value>
Value& value_at(Options& o, Value Part::*field) {
  return part_of<Part>(o).*field;
}

// `field`: a pointer to a member of one part of Options.
template <auto field>
absl::Status set_text(Options& o, std::string_view value) {
  value_at(o, field) = std::string(value);
  return absl::OkStatus();
}

template <auto field, int64_t min, int64_t max>
absl::Status set_int(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t number, parse_int(value, {min, max}));
  value_at(o, field) = static_cast<int>(number);
  return absl::OkStatus();
}

template <auto field, bool inverted = false>
absl::Status set_bool(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const bool flag, parse_bool(value));
  value_at(o, field) = flag != inverted;
  return absl::OkStatus();
}

absl::Status add_batch(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {1, kSequencesMax}));
  o.bench.batch.push_back(static_cast<int>(n));
  return absl::OkStatus();
}

absl::Status set_prompts(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const std::string prompts, parse_choice(value, {"random", "same"}));
  o.bench.same_tokens = prompts == "same";
  return absl::OkStatus();
}

// For flags whose every value changes nothing.
absl::Status accept(Options&, std::string_view) { return absl::OkStatus(); }

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
  ASSIGN_OR_RETURN(o.model.load_format, parse_choice(value, {"auto", "safetensors", "dummy"}));
  return absl::OkStatus();
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

absl::Status set_kv_bytes(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.kv_bytes, parse_bytes(value));
  if (o.runtime.kv_bytes == 0) return absl::InvalidArgumentError("must be above 0");
  return absl::OkStatus();
}

absl::Status set_kv_dtype(Options& o, std::string_view value) {
  auto choice = parse_choice(value, {"auto", "bfloat16", "float32"});
  if (!choice.ok())
    return absl::UnimplementedError(
        absl::StrCat("KV of type ", std::string(value), " is not built yet; auto, bfloat16 and float32 are"));
  o.runtime.kv_dtype = *choice;
  return absl::OkStatus();
}

absl::Status set_policy(Options& o, std::string_view value) {
  RETURN_IF_ERROR(engine::check_policy(value));
  o.runtime.policy = value;
  return absl::OkStatus();
}

absl::Status add_adapter(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(AdapterModule module, parse_adapter(value));
  o.model.adapters.modules.push_back(std::move(module));
  return absl::OkStatus();
}

absl::Status set_speculation(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.speculation, parse_speculation(value));
  return absl::OkStatus();
}

absl::Status set_chunked_prefill(Options&, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  return wanted ? absl::OkStatus() : absl::UnimplementedError("prefill is always chunked; it cannot be switched off");
}

absl::Status set_device(Options& o, std::string_view value) {
  if (value == "gpu") value = "cuda";
  ASSIGN_OR_RETURN(o.runtime.backend, parse_choice(value, {"auto", "cpu", "cuda", "reference"}));
  return absl::OkStatus();
}

absl::Status set_isa(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const std::string isa, parse_choice(value, {"auto", "portable", "avx2", "avx512"}));
  o.runtime.isa = isa == "auto" ? "" : isa;
  return absl::OkStatus();
}

absl::Status set_async(Options&, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  return wanted ? absl::OkStatus() : absl::UnimplementedError("steps are always planned ahead where a GPU runs them");
}

absl::Status set_memory_share(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.runtime.memory_share, parse_number(value, 0.01, 1));
  return absl::OkStatus();
}

absl::Status warn_remote_code(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const bool wanted, parse_bool(value));
  if (wanted) o.warnings.emplace_back("--trust-remote-code changes nothing: code from a model directory is never run");
  return absl::OkStatus();
}

absl::Status set_api_key(Options& o, std::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError("must not be empty");
  o.server.api_keys.emplace_back(value);
  return absl::OkStatus();
}

absl::Status set_admin_key(Options& o, std::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError("must not be empty");
  o.server.admin_key = value;
  return absl::OkStatus();
}

absl::Status set_probe_port(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t port, parse_int(value, {0, 65535}));
  o.server.probe_port = static_cast<int>(port);
  return absl::OkStatus();
}

// `field`: bytes of a budget that holds at least one body of the largest size.
template <auto field>
absl::Status set_budget(Options& o, std::string_view value) {
  constexpr int64_t kLeast = 64 << 20;
  ASSIGN_OR_RETURN(const int64_t bytes, parse_bytes(value));
  if (bytes < kLeast) return absl::InvalidArgumentError("must be at least 64Mi, to hold one large body");
  o.server.*field = bytes;
  return absl::OkStatus();
}

absl::Status set_origins(Options& o, std::string_view value) {
  // vLLM takes a JSON list here; plain words are taken, too.
  std::string word;
  for (const char c : absl::StrCat(std::string(value), ",")) {
    if (c == ',') {
      if (!word.empty()) o.server.origins.push_back(word);
      word.clear();
    } else if (std::string_view("[]\"' ").find(c) == std::string_view::npos) {
      word += c;
    }
  }
  return absl::OkStatus();
}

template <auto field>
absl::Status set_seconds(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(value_at(o, field), parse_number(value, 0, 86400));
  return absl::OkStatus();
}

absl::Status set_log_level(Options&, std::string_view value) {
  if (base::set_log_level(value)) return absl::OkStatus();
  return absl::InvalidArgumentError("must be debug, info, warning or error");
}

template <auto field>
absl::Status set_fraction(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(value_at(o, field), parse_number(value, 0, 100));
  return absl::OkStatus();
}

constexpr Flag kFlags[] = {
    {"model", "", FlagKind::kValue, kAll, "MODEL", "",
     "A model directory or GGUF file, or org/name from the local Hugging Face cache; the same as the argument without "
     "a flag.",
     set_text<&ModelOptions::name>},
    {"revision", "", FlagKind::kValue, kAll, "NAME", "main", "Branch, tag or commit of org/name in the local cache.",
     set_text<&ModelOptions::revision>},
    {"tokenizer", "", FlagKind::kValue, kServe | kRun, "MODEL", "the model's own", "Where the tokenizer is read from.",
     set_text<&TextOptions::tokenizer>},
    {"skip-tokenizer-init", "", kSwitch, kServe | kBench, "", "off",
     "No tokenizer: prompts are token ids and answers carry token_ids and empty text.",
     set_bool<&TextOptions::skip_tokenizer>},
    {"served-model-name", "", kList, kServe, "NAME", "what --model says",
     "Names that requests may use; the first is the one that metrics and answers carry.", set_served_names},
    {"dtype", "", FlagKind::kValue, kShapes, "TYPE", "auto",
     "Type that weights are kept in: auto (the checkpoint's), float32, float16, bfloat16, half, float.", set_dtype},
    {"max-model-len", "", FlagKind::kValue, kLoads, "TOKENS", "auto",
     "Tokens of a prompt and its answer together, at most what the model's rotation reaches; auto: "
     "max_position_embeddings, or what the KV cache holds if it is less. 32k and 32K are understood.",
     set_model_len},
    {"load-format", "", FlagKind::kValue, kLoads, "FORMAT", "auto",
     "auto or safetensors: the checkpoint; dummy: random weights, for measuring.", set_load_format},
    {"hf-overrides", "", FlagKind::kValue, kAll, "JSON", "{}",
     "Members to put over those of config.json; null removes a member, such as one that the model is refused for.",
     set_hf_overrides},
    {"seed", "", FlagKind::kValue, kLoads, "N", "0 for dummy weights, random for answers",
     "Seed of dummy weights; under run also of the answer. A request without a seed of its own gets a random one.",
     set_seed},
    {"generation-config", "", FlagKind::kValue, kServe | kRun, "WHERE", "auto",
     "auto: sampling defaults of the model's generation_config.json; vllm: neutral ones.", set_generation_config},
    {"chat-template", "", FlagKind::kValue, kServe | kRun, "FILE|TEXT", "the model's own",
     "A Jinja template, as a file or written out.", set_text<&TextOptions::chat_template>},
    {"chat-template-content-format", "", FlagKind::kValue, kServe | kRun, "FORMAT", "auto",
     "string: a message's content is one text; openai: a list of parts; auto: as the template reads it.",
     set_content_format},
    {"trust-request-chat-template", "", kSwitch, kServe, "", "off",
     "Requests may bring a template of their own (bounded in steps, memory and output).",
     set_bool<&ServerOptions::trust_request_chat_template>},
    {"max-logprobs", "", FlagKind::kValue, kServe, "N", "20",
     "Most likely tokens that a request may ask for beside each token; 0 to 20.",
     set_int<&ServerOptions::logprobs, 0, 20>},
    {"max-stop-strings", "", FlagKind::kValue, kServe, "N", "64",
     "Stop strings that a request may have; 1 to 1024. Also VLLM_MAX_STOP_STRINGS.",
     set_int<&ServerOptions::stop_strings, 1, 1024>},
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
    {"device", "", FlagKind::kValue, kShapes | kInspect, "DEVICE", "auto",
     "cpu, cuda, or auto: cuda where it can be used, else cpu. reference: the slow one that others are compared with.",
     set_device},
    {"threads", "", FlagKind::kValue, kShapes, "N", "one a core", "Threads that compute.",
     set_int<&RuntimeOptions::threads, 1, 1024>},
    {"isa", "", FlagKind::kValue, kShapes, "NAME", "auto", "Instruction set: auto, portable, avx2, avx512.", set_isa},
    {"async-scheduling", "", kSwitch, kLoads, "", "on",
     "Accepted: a step is always planned while the one before runs, where the device chooses tokens (a GPU). Off: "
     "refused.",
     set_async},
    {"enforce-eager", "", kSwitch, kLoads, "", "off",
     "No steps are recorded as CUDA graphs: less memory, slower answers. On the CPU none ever is.",
     set_bool<&RuntimeOptions::eager>},
    {"require-fused", "", kSwitch, kLoads, "", "off",
     "Refuse to start where a decode step would run an op on its default composition of primitives; the message names "
     "the ops. The CPU backend fuses only the experts, so there it always refuses.",
     set_bool<&RuntimeOptions::require_fused>},
    {"gpu-memory-utilization", "", FlagKind::kValue, kLoads, "SHARE", "0.9",
     "Share of a GPU's memory that weights, scratch and KV cache take together; 0.01 to 1. No effect on the CPU.",
     set_memory_share},
    {"kv-cache-memory-bytes", "", FlagKind::kValue, kLoads, "BYTES",
     "the less of 4 GiB and 40 % of what weights leave free; on a GPU all that is left",
     "Memory of the KV cache; K, M, G are thousands, Ki, Mi, Gi powers of two. VLLM_CPU_KVCACHE_SPACE says the same in "
     "GiB.",
     set_kv_bytes},
    {"kv-cache-dtype", "", FlagKind::kValue, kShapes, "TYPE", "auto",
     "auto (bfloat16 for bfloat16 weights, else float32), bfloat16 or float32.", set_kv_dtype},
    {"block-size", "", FlagKind::kValue, kShapes, "TOKENS", "16", "Tokens in a KV block; 1 to 1024.",
     set_int<&RuntimeOptions::block_size, 1, 1024>},
    {"num-gpu-blocks-override", "", FlagKind::kValue, kLoads, "N", "what the KV memory holds",
     "KV blocks, whatever they take.", set_int<&RuntimeOptions::kv_blocks, 2, 1 << 30>},
    {"enable-prefix-caching", "", kSwitch, kLoads, "", "on", "Prompts that begin alike share KV blocks.",
     set_bool<&RuntimeOptions::prefix_caching>},
    {"enable-chunked-prefill", "", kSwitch, kLoads, "", "on",
     "Prefill is always chunked; --no-enable-chunked-prefill refuses.", set_chunked_prefill},
    {"max-num-batched-tokens", "", FlagKind::kValue, kLoads, "TOKENS", "2048",
     "Tokens in one forward pass, prefill chunks and decodes together.",
     set_int<&RuntimeOptions::step_tokens, 1, kStepTokensMax>},
    {"mixed-prefill-tokens", "", FlagKind::kValue, kLoads, "TOKENS", "32 a thread; on a GPU 512",
     "Prefill tokens in a pass that also decodes, so that running answers keep their pace; 0: no limit of its own.",
     set_int<&RuntimeOptions::mixed_prefill_tokens, 0, kStepTokensMax>},
    {"max-num-seqs", "", FlagKind::kValue, kLoads, "N", "256", "Answers generated at once; the others wait.",
     set_int<&RuntimeOptions::sequences, 1, kSequencesMax>},
    {"max-num-queued-reqs", "", FlagKind::kValue, kServe, "N", "4096",
     "Choices that may wait; beyond it requests get 429 with Retry-After. Connections are bounded accordingly.",
     set_int<&RuntimeOptions::waiting, 1, kWaitingMax>},
    {"max-num-queued-tokens", "", FlagKind::kValue, kServe, "TOKENS", "no bound",
     "Prompt tokens of all that wait; beyond it the same. An empty queue takes any prompt.",
     set_int<&RuntimeOptions::waiting_tokens, 1, INT32_MAX>},
    {"scheduling-policy", "", FlagKind::kValue, kServe, "POLICY", "fcfs",
     "fcfs: in order of arrival; priority: the lowest priority number of the request first.", set_policy},
    {"speculative-config", "", FlagKind::kValue, kServe | kRun, "JSON", "none",
     "Speculative decoding: {\"method\": \"ngram\", \"num_speculative_tokens\": N, \"prompt_lookup_max\": N, "
     "\"prompt_lookup_min\": N}. Answers stay the same.",
     set_speculation},
    {"host", "", FlagKind::kValue, kServe, "ADDRESS", "0.0.0.0", "Address to listen on.",
     set_text<&ServerOptions::host>},
    {"port", "", FlagKind::kValue, kServe, "PORT", "8000", "Port to listen on; 0: any free one, which the log names.",
     set_int<&ServerOptions::port, 0, 65535>},
    {"uds", "", FlagKind::kValue, kServe, "PATH", "", "Listen on this Unix socket instead.",
     set_text<&ServerOptions::unix_socket>},
    {"api-key", "", kList, kServe, "KEY", "none",
     "Keys, of which every request but those of probes and metrics needs one as a bearer token. Also VLLM_API_KEY, "
     "which a process list does not show.",
     set_api_key},
    {"api-key-file", "", FlagKind::kValue, kServe, "FILE", "none",
     "More keys, one a line: `name secret`. The file is read again when it changes. Names label metrics and debug "
     "lines of the log; secrets are never shown.",
     set_text<&ServerOptions::api_key_file>},
    {"admin-key", "", FlagKind::kValue, kServe, "KEY", "none",
     "A key for what only the operator may ask for; see --protect-metrics. It opens nothing else.", set_admin_key},
    {"protect-metrics", "", kSwitch, kServe, "", "off", "/metrics needs the admin key.",
     set_bool<&ServerOptions::protect_metrics>},
    {"allow-anonymous", "", kSwitch, kServe, "", "off",
     "Without any key everyone may call. Otherwise such a server answers its own machine alone, and no web page of "
     "another origin. Probes are always answered.",
     set_bool<&ServerOptions::allow_anonymous>},
    {"probe-port", "", FlagKind::kValue, kServe, "PORT", "none",
     "Also listen here, without TLS, for probes and metrics alone; 0: any free one, which the log names.",
     set_probe_port},
    {"max-connections-per-address", "", FlagKind::kValue, kServe, "N", "0",
     "Connections of one address at a time; more get 503. 0: no limit. A proxy in front is one address.",
     set_int<&ServerOptions::connections_per_address, 0, 1 << 20>},
    {"max-request-body-memory", "", FlagKind::kValue, kServe, "BYTES", "256Mi",
     "Memory of all request bodies together; beyond it requests get 503 with Retry-After.",
     set_budget<&ServerOptions::body_memory>},
    {"max-json-memory", "", FlagKind::kValue, kServe, "BYTES", "1Gi",
     "Memory of the JSON of all bodies above 64 KiB, which takes some 25 times their bytes; beyond it the same.",
     set_budget<&ServerOptions::json_memory>},
    {"enable-ssl-refresh", "", kSwitch, kServe, "", "off",
     "Read certificate and key again when their files change. A faulty new pair leaves the old one in use.",
     set_bool<&ServerOptions::tls_refresh>},
    {"ssl-certfile", "", FlagKind::kValue, kServe, "FILE", "",
     "Certificate chain (PEM); with --ssl-keyfile: serve HTTPS.", set_text<&ServerOptions::tls_certificate>},
    {"ssl-keyfile", "", FlagKind::kValue, kServe, "FILE", "", "Private key (PEM).", set_text<&ServerOptions::tls_key>},
    {"allowed-origins", "", kList, kServe, "LIST", "none",
     "Origins for CORS, as a JSON list or separated by commas; *: any. Without keys, the pages that may call.",
     set_origins},
    {"sse-keep-alive-interval", "", FlagKind::kValue, kServe, "SECONDS", "15",
     "A stream that is silent for so long sends a comment, so that proxies keep it; 0: never, as vLLM's default.",
     set_seconds<&ServerOptions::keep_alive_s>},
    {"shutdown-timeout", "", FlagKind::kValue, kServe, "SECONDS", "30",
     "After SIGTERM or SIGINT, running answers have this long to end; then they end with finish_reason abort. A second "
     "signal ends at once. vLLM's default is 0. Leave it below the grace period of whatever sends the signal.",
     set_seconds<&ServerOptions::shutdown_timeout_s>},
    {"disable-log-stats", "", kSwitch, kServe, "", "off", "No line with throughput every ten seconds.",
     set_bool<&ServerOptions::log_stats, true>},
    {"log-level", "", FlagKind::kValue, kAll, "LEVEL", "info",
     "debug, info, warning or error. Also VLLM_LOGGING_LEVEL.", set_log_level},
    {"uvicorn-log-level", "", FlagKind::kValue, kServe, "LEVEL", "info", "The same as --log-level.", set_log_level},
    {"disable-uvicorn-access-log", "", kSwitch, kServe, "", "on",
     "Accepted: no access log is written; /metrics counts requests.", accept},
    {"disable-access-log-for-endpoints", "", FlagKind::kValue, kServe, "LIST", "all",
     "Accepted: no access log is written.", accept},
    {"enable-request-id-headers", "", kSwitch, kServe, "", "on",
     "Accepted: answers to generation, tokenization and lists of models always carry X-Request-Id.", accept},
    {"enable-prompt-tokens-details", "", kSwitch, kServe, "", "on", "Accepted: usage always counts cached tokens.",
     accept},
    {"enable-server-load-tracking", "", kSwitch, kServe, "", "on", "Accepted: /load is always there.", accept},
    {"disable-fastapi-docs", "", kSwitch, kServe, "", "on", "Accepted: there is no /docs page.", accept},
    {"disable-log-requests", "", kSwitch, kServe, "", "on", "Accepted: requests are never written to the log.", accept},
    {"disable-frontend-multiprocessing", "", kSwitch, kServe, "", "on", "Accepted: there is one process.", accept},
    {"use-v2-block-manager", "", kSwitch, kServe, "", "on", "Accepted: there is one kind of block manager.", accept},
    {"max-seq-len-to-capture", "", FlagKind::kValue, kLoads, "TOKENS", "", "Accepted: CUDA graphs do not depend on it.",
     accept},
    {"disable-custom-all-reduce", "", kSwitch, kLoads, "", "on", "Accepted: there is no custom all-reduce.", accept},

    {"prompt", "", FlagKind::kValue, kRun, "TEXT", "a chat on the terminal", "Answer this once and end.",
     [](Options& o, std::string_view v) {
       o.run.prompt = std::string(v);
       return absl::OkStatus();
     }},
    {"system", "", FlagKind::kValue, kRun, "TEXT", "", "A system message before the chat.",
     set_text<&RunOptions::system>},
    {"max-tokens", "", FlagKind::kValue, kRun, "N", "what fits", "Tokens of an answer.",
     set_int<&RunOptions::max_tokens, 1, kModelLenMax>},
    {"temperature", "", FlagKind::kValue, kRun, "T", "the model's", "0: greedy.",
     set_fraction<&RunOptions::temperature>},
    {"top-p", "", FlagKind::kValue, kRun, "P", "the model's", "Above 0, at most 1.", set_fraction<&RunOptions::top_p>},
    {"top-k", "", FlagKind::kValue, kRun, "K", "the model's", "0: off.", set_int<&RunOptions::top_k, 0, 1 << 30>},
    {"input-len", "", FlagKind::kValue, kBench | kKernels, "TOKENS", "512", "Prompt tokens of a sequence.",
     set_int<&BenchOptions::input, 1, kModelLenMax>},
    {"output-len", "", FlagKind::kValue, kBench, "TOKENS", "64", "Decoded tokens of a sequence.",
     set_int<&BenchOptions::output, 1, kModelLenMax>},
    {"prefill-len", "", FlagKind::kValue, kBench | kKernels, "TOKENS", "--input-len",
     "Tokens of the prefill that is timed.", set_int<&BenchOptions::prefill, 1, kModelLenMax>},
    {"feedback", "", kSwitch, kBench, "", "off",
     "Each token is the one that the device chose, as a server has it; else tokens are random. On a GPU.",
     set_bool<&BenchOptions::feedback>},
    {"output-json", "", FlagKind::kValue, kBench, "FILE", "none", "The figures as JSON, too.",
     set_text<&BenchOptions::output_json>},
    {"repeats", "", FlagKind::kValue, kBench, "N", "3", "Prefills that the median is taken of.",
     set_int<&BenchOptions::repeats, 1, 1000>},
    {"batch", "", kList, kBench | kKernels, "N", "1 16 32", "Sequences decoded at once; one figure each.", add_batch},
    {"prompts", "", FlagKind::kValue, kBench, "KIND", "random",
     "random: every sequence has tokens of its own. same: token 0 everywhere, as llama.cpp's llama-batched-bench has "
     "it, so that all sequences visit the same experts; for comparisons with it.",
     set_prompts},
    {"fail-step", "", FlagKind::kValue, kServe, "N", "0",
     "This step of the engine fails, to see what follows: on a GPU by a fault of the device's own, else as if it had "
     "one; 0: none. Refused without --load-format dummy.",
     set_int<&ServerOptions::fail_step, 0, 1 << 30>, "", true},
    {"measure", "", kSwitch, kKernels, "", "off",
     "Also run the ops on random values, as bench kernels does: time and share of the machine's limit.",
     set_bool<&KernelsOptions::measure>},
    {"json", "", kSwitch, kInspect, "", "off", "Print one JSON object.", set_bool<&InspectOptions::json>},

    {"tensor-parallel-size", "-tp", FlagKind::kValue, kLoads, "N", "1",
     "Ranks that split each layer, 1 to 64: threads of this process, on the CPU. Over GPUs it is not built yet.",
     set_int<&RuntimeOptions::tensor_parallel, 1, 64>},
    {"pipeline-parallel-size", "-pp", FlagKind::kValue, kLoads, "N", "",
     "splitting a model over devices is not built yet; 1 is", nullptr, "1"},
    {"data-parallel-size", "-dp", FlagKind::kValue, kLoads, "N", "", "replicas in one process are not built yet; 1 is",
     nullptr, "1"},
    {"decode-context-parallel-size", "-dcp", FlagKind::kValue, kLoads, "N", "",
     "splitting a model over devices is not built yet; 1 is", nullptr, "1"},
    {"prefill-context-parallel-size", "-pcp", FlagKind::kValue, kLoads, "N", "",
     "splitting a model over devices is not built yet; 1 is", nullptr, "1"},
    {"api-server-count", "", FlagKind::kValue, kServe, "N", "", "there is one server process, with threads", nullptr,
     "1"},
    {"num-scheduler-steps", "", FlagKind::kValue, kLoads, "N", "", "a step is one forward pass", nullptr, "1"},
    {"nnodes", "", FlagKind::kValue, kLoads, "N", "", "several hosts are not built yet; 1 is", nullptr, "1"},
    {"enable-expert-parallel", "-ep", kSwitch, kLoads, "", "off",
     "With --tensor-parallel-size: each rank has whole experts of its own, instead of a part of every expert.",
     set_bool<&RuntimeOptions::expert_parallel>},
    {"enable-eplb", "", kSwitch, kLoads, "", "", "moving experts between devices is not built yet", nullptr, ""},
    {"distributed-executor-backend", "", FlagKind::kValue, kLoads, "NAME", "", "there is one process", nullptr,
     "uni mp"},
    {"quantization", "-q", FlagKind::kValue, kLoads, "METHOD", "",
     "the checkpoint says how its weights are stored; but for GGUF's Q8_0, quantised weights are not built yet",
     nullptr, "none None"},
    {"cpu-offload-gb", "", FlagKind::kValue, kLoads, "GIB", "", "offloading is not built yet", nullptr, "0"},
    {"swap-space", "", FlagKind::kValue, kLoads, "GIB", "", "KV is recomputed, never swapped", nullptr, "0 4"},
    {"long-prefill-token-threshold", "", FlagKind::kValue, kLoads, "N", "",
     "not built yet; --mixed-prefill-tokens keeps long prompts from slowing answers", nullptr, "0"},
    {"stream-interval", "", FlagKind::kValue, kServe, "N", "", "not built yet; every token is sent when it is there",
     nullptr, "1"},
    {"tokenizer-mode", "", FlagKind::kValue, kAll, "MODE", "", "the model's files decide", nullptr, "auto hf"},
    {"override-generation-config", "", FlagKind::kValue, kServe, "JSON", "",
     "not built yet; change generation_config.json", nullptr, "{}"},
    {"download-dir", "", FlagKind::kValue, kAll, "DIR", "", "nothing is downloaded; HF_HUB_CACHE names the cache",
     nullptr, ""},
    {"speculative-model", "", FlagKind::kValue, kLoads, "MODEL", "",
     "not built; --speculative-config is, with the method ngram", nullptr, ""},
    {"num-speculative-tokens", "", FlagKind::kValue, kLoads, "N", "",
     "not built; --speculative-config is, with the method ngram", nullptr, "0"},
    {"enable-auto-tool-choice", "", kSwitch, kServe, "", "",
     "tool calls are not parsed yet; they stay text in the answer", nullptr, ""},
    {"tool-call-parser", "", FlagKind::kValue, kServe, "NAME", "",
     "tool calls are not parsed yet; they stay text in the answer", nullptr, ""},
    {"reasoning-parser", "", FlagKind::kValue, kServe, "NAME", "",
     "reasoning is not parsed yet; it stays text in the answer", nullptr, ""},
    {"structured-outputs-config", "", FlagKind::kValue, kServe, "JSON", "", "structured outputs are not built yet",
     nullptr, "{}"},
    {"guided-decoding-backend", "", FlagKind::kValue, kServe, "NAME", "", "structured outputs are not built yet",
     nullptr, "auto"},
    {"default-chat-template-kwargs", "", FlagKind::kValue, kServe, "JSON", "",
     "not built yet; requests may send chat_template_kwargs", nullptr, "{}"},
    {"response-role", "", FlagKind::kValue, kServe, "NAME", "", "not built yet", nullptr, "assistant"},
    {"kv-transfer-config", "", FlagKind::kValue, kLoads, "JSON", "", "moving KV between processes is not built yet",
     nullptr, "{}"},
    {"kv-events-config", "", FlagKind::kValue, kLoads, "JSON", "", "KV events are not built yet", nullptr, "{}"},
    {"compilation-config", "-cc", FlagKind::kValue, kLoads, "JSON", "", "there is nothing to compile", nullptr, "0 {}"},
    {"attention-backend", "", FlagKind::kValue, kLoads, "NAME", "", "the device chooses; --isa narrows it", nullptr,
     "auto"},
    {"moe-backend", "", FlagKind::kValue, kLoads, "NAME", "", "the device chooses; --isa narrows it", nullptr, "auto"},
    {"enable-log-requests", "", kSwitch, kServe, "", "", "requests are never written to the log", nullptr, ""},
    {"enable-log-outputs", "", kSwitch, kServe, "", "", "answers are never written to the log", nullptr, ""},
    {"enable-sleep-mode", "", kSwitch, kServe, "", "", "sleep mode is not built yet", nullptr, ""},
    {"root-path", "", FlagKind::kValue, kServe, "PATH", "", "not built yet; let the proxy strip it", nullptr, "/"},
    {"middleware", "", FlagKind::kValue, kServe, "NAME", "", "there is no Python in this server", nullptr, ""},
    {"otlp-traces-endpoint", "", FlagKind::kValue, kServe, "URL", "", "traces are not built yet", nullptr, ""},
    {"ssl-ca-certs", "", FlagKind::kValue, kServe, "FILE", "", "client certificates are not built yet", nullptr, ""},
    {"config", "", FlagKind::kValue, kServe, "FILE", "", "files of flags are not built yet", nullptr, ""},
    {"grpc", "", kSwitch, kServe, "", "", "gRPC is not built yet", nullptr, ""},
};

}  // namespace

std::span<const Flag> flag_table() { return kFlags; }

}  // namespace polymath::commands
