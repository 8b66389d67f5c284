// polymath serve MODEL: loads, warms up, listens; ends on SIGTERM or SIGINT after the running answers.

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/service.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/flag_values.h"
#include "commands/flags.h"
#include "commands/house.h"
#include "commands/served.h"
#include "commands/verbs.h"
#include "server/http_server.h"

namespace polymath::commands {
namespace {

constexpr double kStatsInterval = 10;  // seconds between two log lines with throughput
constexpr double kCloseSeconds = 5;    // for replies to reach their clients, once all answers have ended

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

server::HttpServerOptions http_options(const Settings& settings) {
  server::HttpServerOptions options;
  options.host = settings.host;
  options.port = static_cast<uint16_t>(settings.port);
  options.unix_socket = settings.unix_socket;
  options.tls_certificate_file = settings.tls_certificate;
  options.tls_key_file = settings.tls_key;
  if (settings.origins.has_value()) options.cors_origins = *settings.origins;
  return options;
}

api::ServiceOptions service_options(const Settings& settings) {
  api::ServiceOptions options;
  options.limits.logprobs_max = settings.logprobs;
  options.limits.stop_max = settings.stop_strings;
  options.api_keys = settings.api_keys;
  if (options.api_keys.empty() && !settings.environment_api_key.empty()) {
    options.api_keys.push_back(settings.environment_api_key);
  }
  options.trust_request_chat_template = settings.trust_request_chat_template;
  options.waiting_max = settings.waiting;
  options.version = kVersion;
  return options;
}

void log_house(const Settings& settings, const House& house) {
  const ModelFacts facts = model_facts(house.config());
  base::log_info("serve", house.config().architecture, " from ", house.files().path(), ": ",
                 count_text(static_cast<double>(facts.parameters)), " parameters, ",
                 count_text(static_cast<double>(facts.active_parameters)), " active a token; device ",
                 house.backend().name(), ", ", settings.threads > 0 ? settings.threads : base::available_cores(),
                 " threads, instruction set ", settings.isa.empty() ? "auto" : settings.isa);
}

std::string address(const Settings& settings, const server::HttpServer& http) {
  if (!settings.unix_socket.empty()) return absl::StrCat("unix:", settings.unix_socket);
  const bool v6 = settings.host.find(':') != std::string::npos;
  return absl::StrCat(settings.tls_certificate.empty() ? "http://" : "https://", v6 ? "[" : "", settings.host,
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
int wait_for_end(const Settings& settings, const engine::Engine& engine) {
  StatsLog stats(engine);
  while (engine.healthy()) {
    if (wait_for_signal(0.2) != 0) return 0;
    if (settings.log_stats) stats.tick();
  }
  return 1;
}

absl::StatusOr<int> serve_until_signal(const Settings& settings) {
  base::MetricsRegistry metrics;
  ASSIGN_OR_RETURN(Served served, build_served(settings, metrics));
  engine::Engine& engine = served.house->engine();
  log_house(settings, *served.house);
  api::Service service(engine, std::move(served.model), service_options(settings), metrics);
  server::HttpServer http(http_options(settings));
  service.install(http);
  if (settings.fail_step > 0) engine.fail_at_step(static_cast<uint64_t>(settings.fail_step));
  engine.start();
  RETURN_IF_ERROR(http.start());
  service.set_ready(true);
  base::log_info("serve", "ready: ", address(settings, http), "/v1 serves ", served_name(settings));
  const int code = wait_for_end(settings, engine);
  service.set_ready(false);
  if (code == 0) {
    base::log_info("serve", "stopping: running answers have ", settings.shutdown_timeout_s, " s to end");
    drain(engine, settings.shutdown_timeout_s);
  } else {
    base::log_error("serve", "the engine failed; ending");
  }
  http.stop(kCloseSeconds);
  base::log_info("serve", "stopped");
  return code;
}

}  // namespace

int serve(const Arguments& arguments) {
  auto settings = parse_flags(kServe, arguments);
  if (!settings.ok()) return fail_flags(settings.status());
  if (settings->tls_certificate.empty() != settings->tls_key.empty()) {
    return fail_flags(absl::InvalidArgumentError("--ssl-certfile and --ssl-keyfile belong together"));
  }
  if (settings->fail_step > 0 && settings->load_format != "dummy") {
    return fail_flags(absl::InvalidArgumentError("--fail-step is for tests, and needs --load-format dummy"));
  }
  // Before any thread is made, so that none of them takes these signals.
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  for (const std::string& warning : settings->warnings) base::log_warning("serve", warning);
  const auto code = serve_until_signal(*settings);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace polymath::commands
