// Flags of the server and of its log.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "commands/metric_bounds.h"

namespace polymath::commands {
namespace {

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

absl::Status set_body_bytes(Options& o, std::string_view value) {
  constexpr int64_t kLeast = 1 << 10, kMost = 32 << 20;
  ASSIGN_OR_RETURN(const int64_t bytes, parse_bytes(value));
  if (bytes < kLeast || bytes > kMost) return absl::InvalidArgumentError("must be 1Ki to 32Mi");
  o.server.body_bytes = bytes;
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

absl::Status set_step_timeout(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.server.step_timeout_s, parse_number(value, 0, 86400));
  const bool shorter_than_a_beat = o.server.step_timeout_s > 0 && o.server.step_timeout_s < 2;
  return shorter_than_a_beat ? absl::InvalidArgumentError("must be 0 or at least 2") : absl::OkStatus();
}

absl::Status set_no_log_stats(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const bool off, parse_bool(value));
  if (off) o.runtime.metrics.log_seconds = 0;
  return absl::OkStatus();
}

// Names in one word with commas, or several words.
absl::Status add_vocabulary(Options& o, std::string_view value) {
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(std::string(value), ','))) {
    ASSIGN_OR_RETURN(const std::string known, parse_choice(name, {"vllm", "v0.6.3", "tgi", "dcgm"}));
    o.runtime.metrics.vllm_063 |= known == "v0.6.3";
    o.runtime.metrics.tgi |= known == "tgi";
    o.server.dcgm_metrics |= known == "dcgm";
  }
  return absl::OkStatus();
}

absl::Status set_histogram_bounds(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(o.server.histogram_bounds, parse_metric_bounds(value));
  return absl::OkStatus();
}

absl::Status set_log_level(Options&, std::string_view value) {
  if (base::set_log_level(value)) return absl::OkStatus();
  return absl::InvalidArgumentError("must be debug, info, warning or error");
}

absl::Status set_rank_fault(Options& o, std::string_view value) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(value), ':');
  if (parts.size() != 3) return absl::InvalidArgumentError("takes RANK:KIND:STEP");
  ASSIGN_OR_RETURN(const int64_t rank, parse_int(parts[0], {0, 63}));
  ASSIGN_OR_RETURN(const std::string kind, parse_choice(parts[1], {"stall", "fail", "shape"}));
  ASSIGN_OR_RETURN(const int64_t step, parse_int(parts[2], {1, 1 << 30}));
  using parallel::RankFault;
  o.runtime.rank_fault = {static_cast<size_t>(rank),
                          kind == "stall"  ? RankFault::kStall
                          : kind == "fail" ? RankFault::kFail
                                           : RankFault::kShape,
                          step};
  return absl::OkStatus();
}

constexpr Flag kFlags[] = {
    {"host", "", FlagKind::kValue, kServe | kBenchServe, "ADDRESS", "0.0.0.0; of bench serve 127.0.0.1",
     "Address to listen on; under bench serve the server's.", set_text<&ServerOptions::host>},
    {"port", "", FlagKind::kValue, kServe | kBenchServe, "PORT", "8000",
     "Port to listen on; 0: any free one, which the log names. Under bench serve the server's.",
     set_int<&ServerOptions::port, 0, 65535>},
    {"uds", "", FlagKind::kValue, kServe, "PATH", "", "Listen on this Unix socket instead.",
     set_text<&ServerOptions::unix_socket>},
    {"api-key", "", kList, kServe | kBenchServe, "KEY", "none",
     "Keys, of which every request but those of probes and metrics needs one as a bearer token. Also VLLM_API_KEY, "
     "which a process list does not show. Under bench serve the key that requests carry.",
     set_api_key},
    {"api-key-file", "", FlagKind::kValue, kServe, "FILE", "none",
     "More keys, one a line: `name secret`. The file is read again when it changes. Names label metrics and debug "
     "lines of the log; secrets are never shown.",
     set_text<&ServerOptions::api_key_file>},
    {"admin-key", "", FlagKind::kValue, kServe, "KEY", "none",
     "A key for what only the operator may ask for; see --protect-metrics. It opens nothing else.", set_admin_key},
    {"protect-metrics", "", kSwitch, kServe, "", "off", "/metrics needs the admin key.",
     set_bool<&ServerOptions::protect_metrics>},
    {"allow-anonymous", "", kSwitch, kServe | kDeploy, "", "off",
     "Without any key everyone may call. Otherwise such a server answers its own machine alone, and no web page of "
     "another origin. Probes are always answered.",
     set_bool<&ServerOptions::allow_anonymous>},
    {"probe-port", "", FlagKind::kValue, kServe, "PORT", "none",
     "Also listen here, without TLS, for probes and metrics alone; 0: any free one, which the log names.",
     set_probe_port},
    {"max-connections-per-address", "", FlagKind::kValue, kServe, "N", "0",
     "Connections of one address at a time; more get 503. 0: no limit. A proxy in front is one address.",
     set_int<&ServerOptions::connections_per_address, 0, 1 << 20>},
    {"max-request-body-bytes", "", FlagKind::kValue, kServe, "BYTES", "32Mi",
     "Bytes of one request's body; a larger one gets 413. 1Ki to 32Mi.", set_body_bytes},
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
    {"drain-delay", "", FlagKind::kValue, kServe, "SECONDS", "0",
     "From a signal on /ready answers 503, but requests are still taken for so long: balancers get time to look.",
     set_seconds<&ServerOptions::drain_delay_s>},
    {"shutdown-timeout", "", FlagKind::kValue, kServe, "SECONDS", "30",
     "After SIGTERM, SIGINT or SIGHUP, running answers have this long to end; then they end with finish_reason abort. "
     "A second signal ends at once. The process ends at most 10 seconds later, whatever the engine does. vLLM's "
     "default is 0. Leave it below the grace period of whatever sends the signal.",
     set_seconds<&ServerOptions::shutdown_timeout_s>},
    {"step-timeout", "", FlagKind::kValue, kServe, "SECONDS", "300",
     "Where one step of the engine takes longer, every request in flight ends with an error, the log says where each "
     "thread is, and the process ends with code 70. 0: no limit; else at least 2.",
     set_step_timeout},
    {"startup-timeout", "", FlagKind::kValue, kServe, "SECONDS", "0",
     "Where the server is not ready after so long, the log says where each thread is, and the process ends with code "
     "70. 0: no limit.",
     set_seconds<&ServerOptions::startup_timeout_s>},
    {"dry-run", "", kSwitch, kServe, "", "off",
     "Check all that can be checked before the weights are read, print the memory plan, and end: 0 if all is right.",
     set_bool<&ServerOptions::dry_run>},
    {"allow-core-dumps", "", kSwitch, kServe, "", "off",
     "Core files and debuggers of the same user are permitted. They see clients' prompts and keys.",
     set_bool<&ServerOptions::allow_core_dumps>},
    {"disable-log-stats", "", kSwitch, kServe, "", "off", "No line with throughput every ten seconds.",
     set_no_log_stats},
    {"metrics-compat", "", kList, kServe, "NAMES", "vllm",
     "Also metrics under other names. v0.6.3: those of vLLM 0.6.3, whose label is model_name alone. tgi: those of Text "
     "Generation Inference. dcgm: those of NVIDIA's DCGM exporter, of every GPU that NVML shows.",
     add_vocabulary},
    {"custom-histogram-buckets", "", FlagKind::kValue, kServe, "JSON", "{}",
     "Bounds of histograms, by vLLM's families: {\"request_latency\": [0.1, 0.5, 1]}. Up to 200 each, ascending.",
     set_histogram_bounds},
    {"enable-force-include-usage", "", kSwitch, kServe, "", "off",
     "Streams of OpenAI's routes end with the usage, also where stream_options do not ask for it.",
     set_bool<&ServerOptions::force_usage>},
    {"log-level", "", FlagKind::kValue, kModels | kQuantize | kDoctor, "LEVEL", "info",
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
    {"show-hidden-metrics-for-version", "", FlagKind::kValue, kServe, "VERSION", "none",
     "Accepted: older names that are kept are always shown; --metrics-compat v0.6.3 has the rest.", accept},
    {"max-log-len", "", FlagKind::kValue, kServe, "N", "none", "Accepted: requests are never written to the log.",
     accept},
    {"allowed-media-domains", "", kList, kServe, "LIST", "none", "Accepted: nothing is fetched from other hosts.",
     accept},
    {"jit-monitor-mode", "", FlagKind::kValue, kServe, "MODE", "none", "Accepted: nothing is compiled at run time.",
     accept},
    {"optimization-level", "", FlagKind::kValue, kServe, "N", "none", "Accepted: there is nothing to compile.", accept},
    {"enable-ep-weight-filter", "", kSwitch, kServe, "", "on",
     "Accepted: a rank keeps the weights of its own experts alone.", accept},
    {"max-cpu-loras", "", FlagKind::kValue, kServe, "N", "all", "Accepted: all adapters are in memory.", accept},
    {"disable-fastapi-docs", "", kSwitch, kServe, "", "on", "Accepted: there is no /docs page.", accept},
    {"disable-log-requests", "", kSwitch, kServe, "", "on", "Accepted: requests are never written to the log.", accept},
    {"disable-frontend-multiprocessing", "", kSwitch, kServe, "", "on", "Accepted: there is one process.", accept},
    {"use-v2-block-manager", "", kSwitch, kServe, "", "on", "Accepted: there is one kind of block manager.", accept},
    {"metrics-per-rank", "", kSwitch, kServe, "", "off",
     "With several ranks: polymath:rank_* metrics of each rank, instead of their sums.",
     set_bool<&ServerOptions::metrics_per_rank>},
    {"fail-step", "", FlagKind::kValue, kServe, "N", "0",
     "This step of the engine fails, to see what follows: on a GPU by a fault of the device's own, else as if it had "
     "one; 0: none. Refused without --load-format dummy.",
     set_int<&ServerOptions::fail_step, 0, 1 << 30>, "", true},
    {"rank-fault", "", FlagKind::kValue, kServe, "RANK:KIND:STEP", "none",
     "What this rank does from its step on: stall, fail, or shape, a sum or message of a wrong size. Refused without "
     "--load-format dummy.",
     set_rank_fault, "", true},
    {"stall-step", "", FlagKind::kValue, kServe, "N", "0",
     "This step of the engine never ends, to see what --step-timeout does; 0: none. Refused without --load-format "
     "dummy.",
     set_int<&ServerOptions::stall_step, 0, 1 << 30>, "", true},
};

}  // namespace

std::span<const Flag> server_flags() { return kFlags; }

}  // namespace polymath::commands
