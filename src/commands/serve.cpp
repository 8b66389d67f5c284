// polymath serve MODEL: loads, warms up, listens; ends on SIGTERM, SIGINT or SIGHUP after the running answers.

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/access/key_ring.h"
#include "api/door.h"
#include "api/service.h"
#include "backend/device_addresses.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process/process_metrics.h"
#include "base/process/thread_name.h"
#include "base/read_file.h"
#include "base/threads.h"
#include "commands/adapters.h"
#include "commands/devices/gpu_metrics.h"
#include "commands/flags/flag_values.h"
#include "commands/flags/flags.h"
#include "commands/kernel_metrics.h"
#include "commands/nodes.h"
#include "commands/process/process_limits.h"
#include "commands/process/supervisor.h"
#include "commands/rank_metrics.h"
#include "commands/runtime.h"
#include "commands/served.h"
#include "commands/verbs.h"
#include "plan/model_facts.h"
#include "server/http_server.h"

namespace polymath::commands {
namespace {

constexpr int kSpareConnections = 1024;        // idle ones, probes, and requests that are being refused
constexpr int kOtherFiles = 512;               // beside connections
constexpr double kCloseSeconds = 5;            // for replies to reach their clients, once all answers have ended
constexpr double kMarginSeconds = 5;           // beyond which the process ends, whatever its threads do
constexpr double kLookSeconds = 0.2;           // between two looks at the engine
constexpr size_t kTlsFileBytesMax = 1u << 20;  // a larger certificate or key: refused
constexpr int kMappedBytes = 1 << 20;          // larger allocations, as of bodies, return to the system when freed

// That run or wait. The device's default of sequences is not known yet.
int requests_max(const RuntimeOptions& runtime) {
  const int sequences = runtime.sequences > 0 ? runtime.sequences : kDefaultSequencesMax;
  return runtime.waiting + runtime.replicas * sequences;
}

// A connection for each request that may run or wait, and some for probes.
server::HttpLimits http_limits(const ServerOptions& options, const RuntimeOptions& runtime) {
  server::HttpLimits limits;
  limits.body_bytes_max = static_cast<size_t>(options.body_bytes);
  limits.body_bytes_total_max = static_cast<size_t>(options.body_memory);
  limits.connections_per_address_max = options.connections_per_address;
  limits.requests_in_flight_max = std::max(limits.requests_in_flight_max, requests_max(runtime));
  limits.connections_max = std::max(limits.connections_max, limits.requests_in_flight_max + kSpareConnections);
  return limits;
}

// A burst of clients needs more file descriptors than many systems allow at first. Where they never allow as many,
// fewer connections are taken: a server without descriptors would leave clients unanswered.
server::HttpLimits fit_to_system(server::HttpLimits limits) {
  const int reserved = kOtherFiles + 2 * limits.spare_connections_max;
  const int allowed = raise_file_limit(limits.connections_max + reserved);
  const int others = std::min(reserved, allowed / 2);
  if (allowed - others >= limits.connections_max) return limits;
  base::log_warning("serve", "the system allows ", allowed, " open files (ulimit -n): at most ", allowed - others,
                    " connections instead of the ", limits.connections_max, " that --max-num-queued-reqs may need");
  limits.connections_max = allowed - others;
  return limits;
}

server::HttpServerOptions http_options(const ServerOptions& options, const server::HttpLimits& limits) {
  server::HttpServerOptions http;
  http.host = options.host;
  http.port = static_cast<uint16_t>(options.port);
  http.unix_socket = options.unix_socket;
  http.tls_certificate_file = options.tls_certificate;
  http.tls_key_file = options.tls_key;
  http.cors_origins = options.origins;
  http.tls_refresh = options.tls_refresh;
  if (options.probe_port) http.probe_port = static_cast<uint16_t>(*options.probe_port);
  http.limits = limits;
  return http;
}

api::ServiceOptions service_options(const ServerOptions& options, const engine::MetricsOptions& metrics) {
  api::ServiceOptions service;
  service.metrics = metrics;
  service.force_usage = options.force_usage;
  service.limits.logprobs_max = options.logprobs;
  service.limits.stop_max = options.stop_strings;
  service.limits.best_of_max = options.best_of;
  service.limits.top_tokens_max = options.top_tokens;
  service.limits.prompts_max = options.prompts;
  service.limits.stream_silence_s_max = options.keep_alive_s;
  service.limits.clamp_max_tokens = options.clamp_max_tokens;
  service.limits.stream_interval = options.stream_interval;
  service.share_prefix_cache = options.share_prefix_cache;
  service.flat_errors = options.flat_errors;
  service.tokenizer_info = options.tokenizer_info;
  service.request_metrics = options.request_metrics;
  service.api_keys = options.api_keys;
  if (service.api_keys.empty() && options.environment_api_key.has_value()) {
    service.api_keys.push_back(*options.environment_api_key);
  }
  service.access = {.key_file = options.api_key_file,
                    .admin_key = options.admin_key,
                    .protect_metrics = options.protect_metrics,
                    .allow_anonymous = options.allow_anonymous,
                    .host = options.host,
                    .allowed_origins = options.origins};
  service.json_memory_max = static_cast<size_t>(options.json_memory);
  service.trust_request_chat_template = options.trust_request_chat_template;
  service.version = kVersion;
  return service;
}

// Before anything is loaded.
absl::Status check_access(const ServerOptions& options) {
  if (options.protect_metrics && options.admin_key.empty()) {
    return absl::InvalidArgumentError("--protect-metrics needs --admin-key");
  }
  return options.api_key_file.empty() ? absl::OkStatus() : api::check_key_file(options.api_key_file);
}

void log_access(const api::ServiceOptions& options) {
  if (!options.api_keys.empty() || !options.access.key_file.empty()) return;
  if (options.access.allow_anonymous) {
    base::log_warning("serve",
                      "there is no API key, and --allow-anonymous: everyone who reaches this address may call");
  } else {
    base::log_info("serve", "there is no API key: only this machine may call; see --api-key and --allow-anonymous");
  }
}

void log_runtime(const RuntimeOptions& options, const Runtime& runtime) {
  const plan::ModelFacts facts = plan::model_facts(runtime.config());
  base::log_info("serve", runtime.config().architecture, " from ", runtime.files().path(), ": ",
                 count_text(static_cast<double>(facts.parameters)), " parameters, ",
                 count_text(static_cast<double>(facts.active_parameters)), " active a token; device ",
                 runtime.backend().name(), ", ", options.threads > 0 ? options.threads : base::available_cores(),
                 " threads, instruction set ", options.isa.empty() ? "auto" : options.isa);
}

std::string address(const ServerOptions& options, const server::HttpServer& http) {
  if (!options.unix_socket.empty()) return absl::StrCat("unix:", options.unix_socket);
  const bool v6 = options.host.find(':') != std::string::npos;
  return absl::StrCat(options.tls_certificate.empty() ? "http://" : "https://", v6 ? "[" : "", options.host,
                      v6 ? "]" : "", ":", http.port());
}

// Of the GPUs that compute, or of all under DCGM's names. Null: there are none to look for.
std::unique_ptr<GpuMetrics> make_gpu_metrics(const Options& options, const Runtime& runtime,
                                             base::MetricsRegistry& metrics) {
  const int n = options.runtime.tensor_parallel * options.runtime.pipeline_parallel * options.runtime.replicas;
  GpuMetricsOptions of_gpus;
  of_gpus.dcgm = options.server.dcgm_metrics;
  if (!of_gpus.dcgm) of_gpus.pci_addresses = backend::device_addresses(runtime.backend().name(), n);
  if (!of_gpus.dcgm && of_gpus.pci_addresses.empty()) return nullptr;
  return std::make_unique<GpuMetrics>(std::move(of_gpus), metrics);
}

// Until a signal (0), the engine's failure or the loss of a node (1).
int wait_for_end(const Served& served, Supervisor& supervisor, KernelMetrics& kernels, RankMetrics& ranks) {
  while (served.intake().healthy()) {
    const absl::Status nodes = served.runtime->transformer().health();
    if (!nodes.ok()) {
      base::log_error("serve", std::string(nodes.message()));
      return 1;
    }
    if (supervisor.wait(kLookSeconds) != 0) return 0;
    kernels.update();
    ranks.update();
  }
  return 1;
}

// Requests are still taken, so that balancers that saw /ready turn may send elsewhere first.
void delay_drain(double seconds, const engine::Intake& engine) {
  if (seconds <= 0) return;
  base::log_info("serve", "not ready; the drain begins in ", seconds, " s (--drain-delay)");
  const double end = base::steady_seconds() + seconds;
  while (base::steady_seconds() < end && engine.healthy()) {
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(kLookSeconds, seconds)));
  }
}

ServeLimits serve_limits(const ServerOptions& options) {
  return {.step_timeout_s = options.step_timeout_s,
          .drain_seconds = options.drain_delay_s + options.shutdown_timeout_s + kCloseSeconds + kMarginSeconds};
}

// The doors close, running answers end, replies reach their clients.
void end_serving(const ServerOptions& options, int code, api::Service& service, server::HttpServer& http) {
  service.set_ready(false);
  if (code == 0) delay_drain(options.drain_delay_s, service.engine());
  service.begin_drain();
  http.begin_drain();
  if (code == 0) {
    base::log_info("serve", "stopping: running answers have ", options.shutdown_timeout_s, " s to end");
    service.engine().drain(options.shutdown_timeout_s);
  } else {
    base::log_error("serve", "the engine failed; ending");
  }
  http.stop(kCloseSeconds);
  base::log_info("serve", "stopped");
}

// The server's threads inherit the name.
std::unique_ptr<server::HttpServer> make_http(const ServerOptions& options, const server::HttpLimits& limits) {
  const base::ThreadNameScope name("http");
  return std::make_unique<server::HttpServer>(http_options(options, limits));
}

absl::Status start_http(server::HttpServer& http) {
  const base::ThreadNameScope name("http");
  return http.start();
}

// The first one fails or stalls, where that is asked for.
void start_engines(const std::vector<engine::Engine*>& engines, const ServerOptions& options) {
  engine::Engine& first = *engines.front();
  if (options.fail_step > 0) first.fail_at_step(static_cast<uint64_t>(options.fail_step));
  if (options.stall_step > 0) first.stall_at_step(static_cast<uint64_t>(options.stall_step));
  for (engine::Engine* engine : engines) engine->start();
}

absl::StatusOr<int> serve_until_signal(const Options& options, Supervisor& supervisor) {
  base::MetricsRegistry metrics;
  for (const MetricBounds& own : options.server.histogram_bounds) metrics.use_bounds(own.metric, own.bounds);
  base::export_process(metrics);
  const server::HttpLimits limits = fit_to_system(http_limits(options.server, options.runtime));
  api::ServiceOptions settings = service_options(options.server, options.runtime.metrics);
  settings.facts = {.requests_max = requests_max(options.runtime),
                    .workers = server::HttpServerOptions{}.worker_threads};
  api::Door door(std::move(settings), metrics);
  log_access(door.options());
  Served served;
  std::optional<api::Service> service;
  const auto http = make_http(options.server, limits);  // last: its handlers use all above
  door.install(*http);
  RETURN_IF_ERROR(start_http(*http));
  base::log_info("serve", "listening: ", address(options.server, *http), "; the model loads");
  ASSIGN_OR_RETURN(served, build_served(options, metrics));
  log_runtime(options.runtime, *served.runtime);
  engine::Intake& engine = served.intake();
  api::ServiceOptions of_device = door.options();
  of_device.facts.device = std::string(served.runtime->backend().name());
  service.emplace(engine, std::move(served.model), std::move(of_device), metrics);
  start_engines(served.engines(), options.server);
  const Supervisor::Watch watch = supervisor.serve(served.engines(), serve_limits(options.server));
  door.open(*service);
  service->set_ready(true);
  KernelMetrics kernels(served.runtime->backend(), metrics);
  kernels.update();  // the first forward pass ran at load
  RankMetrics ranks(served.models(), options.server.metrics_per_rank, metrics);
  const auto gpus = make_gpu_metrics(options, *served.runtime, metrics);
  base::log_info("serve", "ready: ", address(options.server, *http), "/v1 serves ", served_name(options.model));
  const int code = wait_for_end(served, supervisor, kernels, ranks);
  if (code != 0) supervisor.end_within(kCloseSeconds + kMarginSeconds);
  end_serving(options.server, code, *service, *http);
  return code;
}

// Everything that can be wrong before the weights are read; prints what would be served.
absl::StatusOr<int> dry_run(const Options& options) {
  const server::HttpLimits limits = fit_to_system(http_limits(options.server, options.runtime));
  ASSIGN_OR_RETURN(const Served served, prepare_served(options));
  log_runtime(options.runtime, *served.runtime);
  const auto http = make_http(options.server, limits);
  RETURN_IF_ERROR(start_http(*http));  // the address is free, the certificate fits its key
  const std::string where = address(options.server, *http);
  http->stop(0);
  std::printf("%s\nmemory: %s\n%saddress: %s\nnothing was loaded (--dry-run); all that was checked is right\n",
              served_name(options.model).c_str(), served.runtime->plan_summary().c_str(),
              served.runtime->plan_details().c_str(), where.c_str());
  return 0;
}

absl::Status check_options(const Options& options) {
  const ServerOptions& server = options.server;
  if (server.tls_certificate.empty() != server.tls_key.empty()) {
    return absl::InvalidArgumentError("--ssl-certfile and --ssl-keyfile belong together");
  }
  for (const std::string& file : {server.tls_certificate, server.tls_key}) {
    if (!file.empty()) RETURN_IF_ERROR(base::check_file(file, kTlsFileBytesMax));
  }
  const bool breaks = server.fail_step > 0 || server.stall_step > 0 || options.runtime.rank_fault.step > 0;
  if (breaks && options.model.load_format != "dummy") {
    return absl::InvalidArgumentError(
        "--fail-step, --stall-step or --rank-fault is for tests, and needs --load-format dummy");
  }
  if (server.api_keys.empty() && server.environment_api_key == "") {
    return absl::InvalidArgumentError("VLLM_API_KEY is empty: unset it to serve without a key");
  }
  RETURN_IF_ERROR(check_access(server));
  RETURN_IF_ERROR(check_nodes(options));
  return check_adapters(options.model, served_name(options.model));
}

}  // namespace

int serve(const Arguments& arguments) {
  Supervisor supervisor;
  std::signal(SIGPIPE, SIG_IGN);
  auto options = parse_flags(kServe, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const absl::Status checked = check_options(*options);
  if (!checked.ok()) return fail_flags(checked);
  if (!options->server.allow_core_dumps) forbid_core_dumps();
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
  supervisor.loading(options->server.startup_timeout_s);
  for (const std::string& warning : options->warnings) base::log_warning("serve", warning);
  const auto code = options->server.dry_run         ? dry_run(*options)
                    : options->runtime.nodes.at > 0 ? serve_node(*options, supervisor)
                                                    : serve_until_signal(*options, supervisor);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace polymath::commands
