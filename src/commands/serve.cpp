// polymath serve MODEL: loads, warms up, listens; ends on SIGTERM or SIGINT after the running answers.

#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/access/key_ring.h"
#include "api/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/adapters.h"
#include "commands/flag_values.h"
#include "commands/flags.h"
#include "commands/kernel_metrics.h"
#include "commands/model_facts.h"
#include "commands/runtime.h"
#include "commands/served.h"
#include "commands/verbs.h"
#include "server/http_server.h"

namespace polymath::commands {
namespace {

constexpr int kSpareConnections = 1024;  // idle ones, probes, and requests that are being refused
constexpr int kOtherFiles = 512;         // beside connections
constexpr int kMappedBytes = 1 << 20;    // larger allocations, as of bodies, return to the system when they are freed
constexpr double kStatsInterval = 10;    // seconds between two log lines with throughput
constexpr double kCloseSeconds = 5;      // for replies to reach their clients, once all answers have ended

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// 0: none within `seconds`.
int wait_for_signal(double seconds) {
  const sigset_t set = stop_signals();
  const auto whole = static_cast<time_t>(seconds);
  const timespec timeout{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
  const int signal = sigtimedwait(&set, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

// A connection for each request that may run or wait, and some for probes.
server::HttpLimits http_limits(const RuntimeOptions& runtime) {
  server::HttpLimits limits;
  limits.requests_in_flight_max = std::max(limits.requests_in_flight_max, runtime.waiting + runtime.sequences);
  limits.connections_max = std::max(limits.connections_max, limits.requests_in_flight_max + kSpareConnections);
  return limits;
}

// A burst of clients needs more file descriptors than many systems allow at first.
void raise_file_limit(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto needed = static_cast<rlim_t>(wanted);
  if (limit.rlim_cur >= needed) return;
  const rlim_t allowed = std::min(needed, limit.rlim_max);
  limit.rlim_cur = allowed;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || allowed >= needed) return;
  base::log_warning("serve", "the system allows ", allowed, " open files (ulimit -n): fewer connections than the ",
                    wanted, " that --max-num-queued-reqs may need");
}

server::HttpServerOptions http_options(const ServerOptions& options, const RuntimeOptions& runtime) {
  server::HttpServerOptions http;
  http.host = options.host;
  http.port = static_cast<uint16_t>(options.port);
  http.unix_socket = options.unix_socket;
  http.tls_certificate_file = options.tls_certificate;
  http.tls_key_file = options.tls_key;
  http.cors_origins = options.origins;
  http.tls_refresh = options.tls_refresh;
  if (options.probe_port) http.probe_port = static_cast<uint16_t>(*options.probe_port);
  http.limits = http_limits(runtime);
  http.limits.body_bytes_total_max = static_cast<size_t>(options.body_memory);
  http.limits.connections_per_address_max = options.connections_per_address;
  return http;
}

api::ServiceOptions service_options(const ServerOptions& options) {
  api::ServiceOptions service;
  service.limits.logprobs_max = options.logprobs;
  service.limits.stop_max = options.stop_strings;
  service.limits.stream_silence_s_max = options.keep_alive_s;
  service.limits.clamp_max_tokens = options.clamp_max_tokens;
  service.api_keys = options.api_keys;
  if (service.api_keys.empty() && !options.environment_api_key.empty()) {
    service.api_keys.push_back(options.environment_api_key);
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
  const ModelFacts facts = model_facts(runtime.config());
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

class StatsLog {
 public:
  explicit StatsLog(const engine::Engine& engine)
      : engine_(engine), seen_(engine.stats()), at_(base::steady_seconds()) {}

  void tick() {
    const double now = base::steady_seconds();
    if (now - at_ < kStatsInterval) return;
    const engine::EngineStats stats = engine_.stats();
    const double seconds = now - at_;
    const bool busy = stats.steps != seen_.steps || stats.running + stats.waiting > 0;
    if (busy) {
      const auto rate = [&](uint64_t a, uint64_t b) {
        return absl::StrFormat("%.1f", static_cast<double>(a - b) / seconds);
      };
      base::log_info("serve", "running ", stats.running, ", waiting ", stats.waiting, ", KV ",
                     absl::StrFormat("%.1f", stats.kv_usage * 100), " %, prompt ",
                     rate(stats.prompt_tokens_computed, seen_.prompt_tokens_computed), " tok/s (cached ",
                     rate(stats.prompt_tokens_cached, seen_.prompt_tokens_cached), "), generation ",
                     rate(stats.generated_tokens, seen_.generated_tokens), " tok/s");
    }
    seen_ = stats;
    at_ = now;
  }

 private:
  const engine::Engine& engine_;
  engine::EngineStats seen_;
  double at_;
};

// Running answers have `seconds` to end; a second signal ends the process at once.
void drain(engine::Engine& engine, double seconds) {
  std::atomic<bool> done{false};
  std::thread waiting([&] {
    engine.drain(seconds);
    done = true;
  });
  while (!done) {
    if (wait_for_signal(0.05) == 0) continue;
    base::log_warning("serve", "a second signal: ending at once");
    std::_Exit(130);
  }
  waiting.join();
}

// Until a signal (0) or the engine's failure (1).
int wait_for_end(const ServerOptions& options, const engine::Engine& engine, KernelMetrics& kernels) {
  StatsLog stats(engine);
  while (engine.healthy()) {
    if (wait_for_signal(0.2) != 0) return 0;
    kernels.update();
    if (options.log_stats) stats.tick();
  }
  return 1;
}

absl::StatusOr<int> serve_until_signal(const Options& options) {
  base::MetricsRegistry metrics;
  ASSIGN_OR_RETURN(Served served, build_served(options, metrics));
  engine::Engine& engine = served.runtime->engine();
  log_runtime(options.runtime, *served.runtime);
  const api::ServiceOptions settings = service_options(options.server);
  log_access(settings);
  api::Service service(engine, std::move(served.model), settings, metrics);
  const server::HttpServerOptions http_settings = http_options(options.server, options.runtime);
  raise_file_limit(http_settings.limits.connections_max + 2 * http_settings.limits.spare_connections_max + kOtherFiles);
  server::HttpServer http(http_settings);
  service.install(http);
  if (options.server.fail_step > 0) engine.fail_at_step(static_cast<uint64_t>(options.server.fail_step));
  engine.start();
  RETURN_IF_ERROR(http.start());
  service.set_ready(true);
  KernelMetrics kernels(served.runtime->backend(), metrics);
  kernels.update();  // the first forward pass ran at load
  base::log_info("serve", "ready: ", address(options.server, http), "/v1 serves ", served_name(options.model));
  const int code = wait_for_end(options.server, engine, kernels);
  service.begin_drain();
  http.begin_drain();
  if (code == 0) {
    base::log_info("serve", "stopping: running answers have ", options.server.shutdown_timeout_s, " s to end");
    drain(engine, options.server.shutdown_timeout_s);
  } else {
    base::log_error("serve", "the engine failed; ending");
  }
  http.stop(kCloseSeconds);
  base::log_info("serve", "stopped");
  return code;
}

}  // namespace

int serve(const Arguments& arguments) {
  auto options = parse_flags(kServe, arguments);
  if (!options.ok()) return fail_flags(options.status());
  if (options->server.tls_certificate.empty() != options->server.tls_key.empty()) {
    return fail_flags(absl::InvalidArgumentError("--ssl-certfile and --ssl-keyfile belong together"));
  }
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
  const absl::Status access = check_access(options->server);
  if (!access.ok()) return fail_flags(access);
  if (options->server.fail_step > 0 && options->model.load_format != "dummy") {
    return fail_flags(absl::InvalidArgumentError("--fail-step is for tests, and needs --load-format dummy"));
  }
  const absl::Status adapters = check_adapters(options->model, served_name(options->model));
  if (!adapters.ok()) return fail_flags(adapters);
  // Before any thread is made: threads inherit the mask.
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  for (const std::string& warning : options->warnings) base::log_warning("serve", warning);
  const auto code = serve_until_signal(*options);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace polymath::commands
