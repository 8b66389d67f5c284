// Flags of bench serve alone. They have the names of `vllm bench serve` where it has them.

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "commands/http/target.h"
#include "commands/load/dialect.h"

namespace polymath::commands {
namespace {

using load::LoadOptions;

constexpr int64_t kPromptsMax = 1000000;      // more: refused; their records would fill memory
constexpr int64_t kTurnsMax = 1000;           // more: refused
constexpr int64_t kConcurrencyMax = 1 << 20;  // more than a process has descriptors: refused
constexpr int64_t kVocabMax = 1 << 24;        // more than any model's: refused
constexpr double kTimeoutMax = 86400;         // seconds; more: refused, but inf
constexpr double kRateMax = 1e6;              // requests a second; more: refused
constexpr double kShapeMax = 1e6;             // nearly constant gaps; more: refused, but inf
constexpr size_t kPercentilesMax = 32;        // more: refused
constexpr size_t kHeadersMax = 64;            // more: refused

absl::Status set_backend(Options& o, std::string_view value) {
  std::string names;
  for (const load::Dialect& dialect : load::dialects()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(dialect.name));
  }
  if (load::find_dialect(value) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(value), "` is not one of ", names));
  }
  o.load.backend = std::string(value);
  return absl::OkStatus();
}

absl::Status set_base_url(Options& o, std::string_view value) {
  RETURN_IF_ERROR(http::parse_base_url(value).status());
  o.load.base_url = std::string(value);
  return absl::OkStatus();
}

absl::Status set_endpoint(Options& o, std::string_view value) {
  bool plain = value.starts_with('/');
  for (const char c : value) plain &= static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f;
  if (!plain) return absl::InvalidArgumentError("must be a path that begins with /");
  o.load.endpoint = std::string(value);
  return absl::OkStatus();
}

absl::Status add_header(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(std::string header, http::parse_header(value));
  if (o.load.headers.size() == kHeadersMax) return absl::InvalidArgumentError("too many");
  o.load.headers.push_back(std::move(header));
  return absl::OkStatus();
}

// A positive number, or "inf".
absl::StatusOr<double> parse_positive(std::string_view value, double max) {
  if (value == "inf") return std::numeric_limits<double>::infinity();
  ASSIGN_OR_RETURN(const double number, parse_number(value, 0, max));
  if (number <= 0) return absl::InvalidArgumentError("must be above 0");
  return number;
}

absl::Status set_rate(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.load.arrivals.rate, parse_positive(value, kRateMax));
  return absl::OkStatus();
}

absl::Status set_burstiness(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.load.arrivals.shape, parse_positive(value, kShapeMax));
  return absl::OkStatus();
}

absl::Status set_timeout(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.load.timeout_s, parse_positive(value, kTimeoutMax));
  return absl::OkStatus();
}

template <load::Length LoadOptions::*field>
absl::Status set_tokens(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.load.*field, load::Length::parse(value));
  return absl::OkStatus();
}

absl::Status set_prompt_form(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.load.prompt_form, parse_choice(value, {"auto", "ids", "text"}));
  return absl::OkStatus();
}

absl::Status set_shown(Options& o, std::string_view value) {
  o.load.shown.clear();
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(std::string(value), ','))) {
    const auto latency = load::find_latency(name);
    if (!latency.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("`", name, "` is not one of ttft, tpot, itl, e2el"));
    }
    o.load.shown.push_back(*latency);
  }
  return absl::OkStatus();
}

absl::Status set_percentiles(Options& o, std::string_view value) {
  o.load.percentiles.clear();
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(std::string(value), ','))) {
    ASSIGN_OR_RETURN(const double percentile, parse_number(word, 0, 100));
    if (o.load.percentiles.size() == kPercentilesMax) return absl::InvalidArgumentError("too many");
    o.load.percentiles.push_back(percentile);
  }
  return absl::OkStatus();
}

absl::Status add_bound(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const load::Bound bound, load::parse_bound(value));
  o.load.bounds.push_back(bound);
  return absl::OkStatus();
}

constexpr FlagKind kValue = FlagKind::kValue;

constexpr Flag kFlags[] = {
    {"backend", "", kValue, kBenchServe, "NAME", "openai",
     "API of the server: openai or vllm (/v1/completions), openai-chat (/v1/chat/completions), tgi (/generate_stream), "
     "tgi-generate (/generate, without a stream).",
     set_backend},
    {"base-url", "", kValue, kBenchServe, "URL", "--host and --port",
     "http://HOST:PORT, and a path before every other; https is refused.", set_base_url},
    {"endpoint", "", kValue, kBenchServe, "PATH", "that of --backend", "Another path for the requests.", set_endpoint},
    {"header", "", kList, kBenchServe, "NAME=VALUE", "none", "A header of every request.", add_header},
    {"num-prompts", "", kValue, kBenchServe, "N", "1000",
     "Requests; with --turns, conversations. With --trace, its first N lines.",
     set_int<&LoadOptions::prompts, 1, kPromptsMax>},
    {"request-rate", "", kValue, kBenchServe, "RATE", "inf",
     "Requests a second, whatever the server does (open loop); inf: each as soon as --max-concurrency lets it, which "
     "is "
     "a closed loop of so many clients.",
     set_rate},
    {"burstiness", "", kValue, kBenchServe, "SHAPE", "1",
     "Shape of the gamma distribution of gaps: 1 is Poisson, less comes in bursts, inf is constant. Their coefficient "
     "of variation is 1 / sqrt(SHAPE).",
     set_burstiness},
    {"trace", "", kValue, kBenchServe, "FILE", "none",
     "Arrivals and lengths from a file of lines `seconds prompt_len output_len`, instead of --request-rate and "
     "--random-input-len.",
     set_text<&LoadOptions::trace>},
    {"max-concurrency", "", kValue, kBenchServe, "N", "as many as sockets may be open",
     "Requests at once; others wait, and their latency counts from when they were due.",
     set_int<&LoadOptions::concurrency_max, 1, kConcurrencyMax>},
    {"num-warmups", "", kValue, kBenchServe, "N", "0", "Requests before the measured ones, by --max-concurrency.",
     set_int<&LoadOptions::warmups, 0, kPromptsMax>},
    {"request-timeout", "", kValue, kBenchServe, "SECONDS", "600", "A request that takes longer has failed.",
     set_timeout},
    {"random-input-len", "", kValue, kBenchServe, "LENGTH", "1024",
     "Tokens of a prompt, or of a turn: 512, uniform:100-200, lognormal:MEDIAN,SIGMA or "
     "lognormal:MEDIAN,SIGMA:LOW-HIGH.",
     set_tokens<&LoadOptions::input_len>},
    {"random-output-len", "", kValue, kBenchServe, "LENGTH", "128", "Tokens of an answer, in the same words.",
     set_tokens<&LoadOptions::output_len>},
    {"random-prefix-len", "", kValue, kBenchServe, "TOKENS", "0", "Tokens before them that prompts of a group share.",
     set_int<&LoadOptions::prefix_len, 0, load::kLengthMax>},
    {"num-prefixes", "", kValue, kBenchServe, "N", "1", "Groups of --random-prefix-len.",
     set_int<&LoadOptions::n_prefixes, 1, kPromptsMax>},
    {"turns", "", kValue, kBenchServe, "N", "1",
     "Requests of a conversation, each after the answer to the one before, which its prompt repeats.",
     set_int<&LoadOptions::turns, 1, kTurnsMax>},
    {"prompt-format", "", kValue, kBenchServe, "FORMAT", "auto",
     "ids: random token ids (openai and vllm only); text: words; auto: ids where the API takes them.", set_prompt_form},
    {"vocab-size", "", kValue, kBenchServe, "N", "2048", "Token ids of prompts are below it, and from 300 on.",
     set_int<&LoadOptions::vocab, 2, kVocabMax>},
    {"ignore-eos", "", kSwitch, kBenchServe, "", "on",
     "Ask for answers of exactly their length. Off: the field, which only vLLM's API has, is left out.",
     set_bool<&LoadOptions::ignore_eos>},
    {"return-token-ids", "", kSwitch, kBenchServe, "", "on",
     "Ask for token ids, to count tokens by. Off: the field, which only vLLM's API has, is left out.",
     set_bool<&LoadOptions::return_token_ids>},
    {"percentile-metrics", "", kValue, kBenchServe, "LIST", "ttft,tpot,itl,e2el", "The latencies to show.", set_shown},
    {"metric-percentiles", "", kValue, kBenchServe, "LIST", "50,90,95,99", "Their percentiles.", set_percentiles},
    {"goodput", "", kList, kBenchServe, "NAME:MS", "none",
     "Bounds such as ttft:500 tpot:50 e2el:10000: also count requests a second that keep all of them.", add_bound},
    {"save-result", "", kSwitch, kBenchServe, "", "off",
     "Write the figures to --result-filename, or to bench-serve.json.", set_bool<&LoadOptions::save_result>},
    {"result-filename", "", kValue, kBenchServe, "FILE", "none", "The same as --output-json.",
     set_text<&BenchOptions::output_json>},
    {"save-detailed", "", kSwitch, kBenchServe, "", "off", "The JSON has each request, too.",
     set_bool<&LoadOptions::save_detailed>},
    {"output-svg", "", kValue, kBenchServe, "FILE", "none",
     "A plot: distributions of TTFT and inter-token latency, and tokens a second over time.",
     set_text<&LoadOptions::svg>},
    {"dataset-name", "", kValue, kBenchServe, "NAME", "", "prompts are random; --trace takes lengths from a file",
     nullptr, "random"},
};

}  // namespace

std::span<const Flag> load_flags() { return kFlags; }

}  // namespace polymath::commands
