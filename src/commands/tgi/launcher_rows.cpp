// What each flag and variable of TGI's launcher becomes.

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/read_file.h"
#include "commands/flags/flag_values.h"
#include "commands/options.h"
#include "commands/tgi/launcher.h"

namespace polymath::commands {
namespace {

using Made = absl::StatusOr<std::vector<std::string>>;
using enum LauncherKind;

constexpr size_t kConfigBytesMax = 16u << 20;  // a larger tokenizer_config.json: refused

bool is_address(const std::string& text) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), bytes) == 1 || inet_pton(AF_INET6, text.c_str(), bytes) == 1;
}

// Containers set HOSTNAME to a name of their own. TGI takes such a value for 0.0.0.0, too.
Made convert_host(const std::string& value) {
  return std::vector<std::string>{"--host", is_address(value) ? value : "0.0.0.0"};
}

Made convert_batch_tokens(const std::string& value) {
  const int block = RuntimeOptions{}.block_size;
  ASSIGN_OR_RETURN(const int64_t tokens, parse_int(value, {1, INT32_MAX}));
  return std::vector<std::string>{"--num-gpu-blocks-override",
                                  absl::StrCat(std::max<int64_t>(2, (tokens + block - 1) / block))};
}

Made convert_graphs(const std::string& value) {
  if (value != "0") return std::vector<std::string>{};
  return std::vector<std::string>{"--enforce-eager"};
}

Made convert_speculate(const std::string& value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {0, 64}));
  if (n == 0) return std::vector<std::string>{};
  return std::vector<std::string>{"--speculative-config",
                                  absl::StrCat(R"({"method":"ngram","num_speculative_tokens":)", n, "}")};
}

// EETQ is int8 by row, made at load.
Made convert_quantize(const std::string& value) {
  return std::vector<std::string>{"--quantization", value == "eetq" ? "int8" : value};
}

Made convert_kv_dtype(const std::string& value) {
  return std::vector<std::string>{"--kv-cache-dtype", value == "fp8_e4m3fn" ? "fp8_e4m3" : value};
}

Made convert_prefix_caching(const std::string& value) {
  const bool off = value == "0" || value == "false" || value == "False";
  return std::vector<std::string>{off ? "--no-enable-prefix-caching" : "--enable-prefix-caching"};
}

// "a,b=/path": an adapter without a path is its own name in the local cache.
Made convert_adapters(const std::string& value) {
  std::vector<std::string> out = {"--enable-lora", "--lora-modules"};
  const std::vector<std::string> adapters = absl::StrSplit(value, ',', absl::SkipWhitespace());
  for (const std::string& adapter : adapters) {
    if (adapter.find('@') != std::string::npos) {
      return absl::UnimplementedError("revisions of adapters (NAME=PATH@REVISION) are not built yet");
    }
    out.push_back(adapter.find('=') != std::string::npos ? adapter : absl::StrCat(adapter, "=", adapter));
  }
  return out.size() == 2 ? std::vector<std::string>{} : out;
}

// What TGI takes from the file is its chat template: the text, or the one called default.
Made convert_tokenizer_config(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, base::read_file(path, kConfigBytesMax));
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(text, {}));
  const auto* const found = json.is_object() ? json.get_object().if_contains("chat_template") : nullptr;
  if (found == nullptr) return std::vector<std::string>{};
  if (found->is_string()) return std::vector<std::string>{"--chat-template", std::string(found->get_string())};
  const base::JsonArray none;
  for (const base::JsonValue& named : found->is_array() ? found->get_array() : none) {
    base::JsonReader j(named);
    if (j.status().ok() && j.s("name", "") == "default")
      return std::vector<std::string>{"--chat-template", j.s("template", "")};
  }
  return absl::UnimplementedError("its chat_template is no text, and none of its templates is called default");
}

// TGI's levels may name modules: "info,text_generation_router=debug".
Made convert_log_level(const std::string& value) {
  std::string level(value.substr(0, value.find(',')));
  std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::tolower(c); });
  if (level == "trace") level = "debug";
  if (level == "warn") level = "warning";
  return std::vector<std::string>{"--log-level", level};
}

constexpr std::string_view kSteps = "prompts join running answers at every step, in chunks";
constexpr std::string_view kOneProcess = "ranks are threads of one process";
constexpr std::string_view kNoDownload = "nothing is downloaded; models come from a directory or the local cache";
constexpr std::string_view kKernels = "the device's best kernels are chosen at start";

constexpr LauncherRow kRows[] = {
    {"MODEL_ID", kBecomes, "--model"},
    {"REVISION", kBecomes, "--revision"},
    {"VALIDATION_WORKERS", kNoEffect, "two threads read and tokenize requests"},
    {"SHARDED", kNoEffect, "NUM_SHARD alone says how many ranks there are"},
    {"NUM_SHARD", kBecomes, "--tensor-parallel-size"},
    {"QUANTIZE", kBecomes, "--quantization", "", convert_quantize},
    {"SPECULATE", kBecomes, "--speculative-config", "", convert_speculate},
    {"DTYPE", kBecomes, "--dtype"},
    {"KV_CACHE_DTYPE", kBecomes, "--kv-cache-dtype", "", convert_kv_dtype},
    {.name = "TRUST_REMOTE_CODE",
     .kind = kNoEffect,
     .what = "code from a model directory is never run",
     .is_switch = true},
    {"MAX_CONCURRENT_REQUESTS", kBecomes, "--max-num-queued-reqs", "128"},
    {"MAX_BEST_OF", kBecomes, "--max-best-of", "2"},
    {"MAX_STOP_SEQUENCES", kBecomes, "--max-stop-strings", "4"},
    {"MAX_TOP_N_TOKENS", kBecomes, "--max-top-n-tokens", "5"},
    {"MAX_INPUT_TOKENS", kBecomes, "--max-input-tokens"},
    {"MAX_INPUT_LENGTH", kBecomes, "--max-input-tokens"},
    {"MAX_TOTAL_TOKENS", kBecomes, "--max-model-len"},
    {"WAITING_SERVED_RATIO", kNoEffect, kSteps},
    {"MAX_BATCH_PREFILL_TOKENS", kBecomes, "--max-num-batched-tokens"},
    {"MAX_BATCH_TOTAL_TOKENS", kBecomes, "--num-gpu-blocks-override", "", convert_batch_tokens},
    {"MAX_WAITING_TOKENS", kNoEffect, kSteps},
    {"MAX_BATCH_SIZE", kBecomes, "--max-num-seqs"},
    {"CUDA_GRAPHS", kBecomes, "--enforce-eager", "", convert_graphs},
    {"HOSTNAME", kBecomes, "--host", "0.0.0.0", convert_host},
    {"PORT", kBecomes, "--port", "3000"},
    {"PROMETHEUS_PORT", kBecomes, "--probe-port"},
    {"SHARD_UDS_PATH", kNoEffect, kOneProcess},
    {"MASTER_ADDR", kNoEffect, kOneProcess},
    {"MASTER_PORT", kNoEffect, kOneProcess},
    {"HUGGINGFACE_HUB_CACHE", kBecomes, "HF_HUB_CACHE"},
    {"WEIGHTS_CACHE_OVERRIDE", kRefused, "not built; MODEL_ID takes a directory"},
    {.name = "DISABLE_CUSTOM_KERNELS", .kind = kNoEffect, .what = kKernels, .is_switch = true},
    {"CUDA_MEMORY_FRACTION", kBecomes, "--gpu-memory-utilization"},
    {"ROPE_SCALING", kBecomes, "--hf-overrides"},
    {"ROPE_FACTOR", kBecomes, "--hf-overrides"},
    {.name = "JSON_OUTPUT", .kind = kNoEffect, .what = "the log is lines of text", .is_switch = true},
    {"OTLP_ENDPOINT", kRefused, "traces are not built yet"},
    {"OTLP_SERVICE_NAME", kNoEffect, "there are no traces that would carry it"},
    {"CORS_ALLOW_ORIGIN", kBecomes, "--allowed-origins"},
    {.name = "API_KEY", .kind = kBecomes, .what = "--api-key", .is_secret = true},
    {"WATERMARK_GAMMA", kRefused, "watermarks are not built yet"},
    {"WATERMARK_DELTA", kRefused, "watermarks are not built yet"},
    {.name = "NGROK", .kind = kRefused, .what = "tunnels are not built", .is_switch = true},
    {.name = "NGROK_AUTHTOKEN", .kind = kRefused, .what = "tunnels are not built", .is_secret = true},
    {"NGROK_EDGE", kRefused, "tunnels are not built"},
    {"TOKENIZER_CONFIG_PATH", kBecomes, "--chat-template", "", convert_tokenizer_config},
    {.name = "DISABLE_GRAMMAR_SUPPORT",
     .kind = kNoEffect,
     .what = "grammars are not built yet, and refused",
     .is_switch = true},
    {"MAX_CLIENT_BATCH_SIZE", kBecomes, "--max-client-batch-size", "4"},
    {"LORA_ADAPTERS", kBecomes, "--lora-modules", "", convert_adapters},
    {"USAGE_STATS", kNoEffect, "nothing is ever reported"},
    {"PAYLOAD_LIMIT", kBecomes, "--max-request-body-bytes", "2000000"},
    {.name = "ENABLE_PREFILL_LOGPROBS",
     .kind = kNoEffect,
     .what = "decoder_input_details always has them",
     .is_switch = true},
    {"GRACEFUL_TERMINATION_TIMEOUT", kBecomes, "--shutdown-timeout", "90"},
    {"ATTENTION", kNoEffect, kKernels},
    {"PREFIX_CACHING", kBecomes, "--enable-prefix-caching", "", convert_prefix_caching},
    {"PREFILL_CHUNKING", kNoEffect, "prefill is always chunked"},
    {"TGI_WIGGLE_ROOM", kNoEffect, "CUDA_MEMORY_FRACTION alone bounds memory"},
    {"USE_FLASH_ATTENTION", kNoEffect, kKernels},
    {"FLASH_TRANSFORMERS_BACKEND", kNoEffect, kKernels},
    {.name = "HF_TOKEN", .kind = kNoEffect, .what = kNoDownload, .is_secret = true},
    {"HF_HUB_ENABLE_HF_TRANSFER", kNoEffect, kNoDownload},
    {"HF_HUB_OFFLINE", kNoEffect, kNoDownload},
    {"LOG_LEVEL", kBecomes, "--log-level", "", convert_log_level},
    {"LOG_COLORIZE", kNoEffect, "the log has no colours"},
    {.name = "AIP_PREDICT_ROUTE",
     .kind = kRefused,
     .what = "the path cannot be changed; it is /vertex",
     .neutral = "/vertex"},
    {.name = "AIP_HEALTH_ROUTE", .kind = kRefused, .what = "the path cannot be changed", .neutral = "/health /ping"},
};

}  // namespace

std::span<const LauncherRow> launcher_rows() { return kRows; }

}  // namespace polymath::commands
