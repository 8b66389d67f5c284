#include "server/http_server.h"

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ssl/context.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/periodic.h"
#include "server/core.h"
#include "server/listener.h"
#include "server/quietly.h"
#include "server/tls_identity.h"

namespace polymath::server {
namespace {

constexpr double kProbeDrainSeconds = 1;  // a drain waits for probes' answers no longer

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

struct HttpServer::State {
  explicit State(HttpServerOptions options)
      : core(std::make_shared<Core>(std::move(options))),
        listener(core, {core->options.host, core->options.port, core->options.unix_socket}) {
    if (core->options.probe_port) probes.emplace(core, Door{core->options.host, *core->options.probe_port, "", true});
  }

  absl::Status listen();
  absl::Status start_threads();
  void run_io(boost::asio::io_context& io);
  void resume_accepting();
  void watch_tls();

  const std::shared_ptr<Core> core;
  Listener listener;
  std::optional<Listener> probes;
  std::mutex mutex;  // of start and stop
  bool started = false, stopped = false;
  std::vector<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> keep_running;
  std::vector<std::thread> io_threads;
  std::optional<TlsIdentity> tls;  // from start() on the thread of watching_tls alone
  base::Gauge* expiry = nullptr;   // of the TLS certificate; null: no metrics
  std::unique_ptr<base::Periodic> watching_tls;
};

absl::Status HttpServer::State::listen() {
  const HttpServerOptions& options = core->options;
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("TLS needs both a certificate file and a key file");
  }
  TlsIdentity::Context context;
  if (!options.tls_key_file.empty()) {
    tls.emplace(options.tls_certificate_file, options.tls_key_file);
    ASSIGN_OR_RETURN(context, tls->open());
    if (expiry != nullptr) tls->check_expiry(expiry);
  }
  core->make_refusal();
  RETURN_IF_ERROR(listener.listen(std::move(context)));
  return probes ? probes->listen(nullptr) : absl::OkStatus();
}

absl::Status HttpServer::State::start_threads() {
  const HttpServerOptions& options = core->options;
  try {
    core->lanes = std::make_unique<WorkLanes>(
        std::array<int, WorkLanes::kCount>{1, 1, options.worker_threads, options.large_body_threads});
    for (boost::asio::io_context& io : core->io) keep_running.emplace_back(io.get_executor());
    for (boost::asio::io_context& io : core->io) io_threads.emplace_back([this, &io] { run_io(io); });
    if (tls) watching_tls = std::make_unique<base::Periodic>(options.tls_check_s, [this] { watch_tls(); });
  } catch (const std::system_error& e) {
    return absl::UnavailableError(absl::StrCat("the system makes no more threads for the server: ", e.what()));
  }
  return absl::OkStatus();
}

void HttpServer::State::watch_tls() {
  quietly("the watch over the TLS certificate", [this] {
    if (core->options.tls_refresh) {
      if (auto context = tls->refresh()) listener.set_tls(std::move(context));
    }
    tls->check_expiry(expiry);
  });
}

void HttpServer::State::resume_accepting() {
  if (listener.stalled()) listener.resume();
  if (probes && probes->stalled()) probes->resume();
}

// The last catch: what a callback did not catch itself.
void HttpServer::State::run_io(boost::asio::io_context& io) {
  constexpr std::chrono::milliseconds kRetry(10);
  while (!io.stopped()) {
    quietly("an I/O thread", [&] {
      const bool stalled = listener.stalled() || (probes && probes->stalled());
      if (!stalled) {
        io.run();
        return;
      }
      io.run_for(kRetry);
      resume_accepting();
    });
  }
}

HttpServer::HttpServer(HttpServerOptions options) {
  CHECK(options.io_threads >= 1 && options.worker_threads >= 1 && options.large_body_threads >= 1);
  state_ = std::make_shared<State>(std::move(options));
}

HttpServer::~HttpServer() { stop(0); }

int HttpServer::route(std::string_view method, std::string_view path, HttpHandler handler, RouteKind kind) {
  CHECK(!state_->started);
  return state_->core->router.add(method, path, std::move(handler), kind);
}

void HttpServer::set_error_body(ErrorBody make) {
  CHECK(!state_->started);
  state_->core->error_body = std::move(make);
}

void HttpServer::set_gate(std::function<Admission(const HttpRequest&)> gate) {
  CHECK(!state_->started);
  state_->core->gate = std::move(gate);
}

void HttpServer::set_entry(std::function<Admission(const HttpRequest&)> entry) {
  CHECK(!state_->started);
  state_->core->entry = std::move(entry);
}

void HttpServer::set_metrics(base::MetricsRegistry& registry, std::function<void(const Answered&)> on_answered) {
  CHECK(!state_->started);
  state_->core->metrics = std::make_unique<RequestMetrics>(registry, std::move(on_answered));
  if (state_->core->options.tls_key_file.empty()) return;
  state_->expiry = &registry.gauge("polymath:tls_certificate_expiry_timestamp_seconds",
                                   "When the TLS certificate expires, in seconds since 1970.", {});
}

absl::Status HttpServer::start() {
  const std::lock_guard lock(state_->mutex);
  CHECK(!state_->started && !state_->stopped);
  RETURN_IF_ERROR(state_->listen());
  state_->started = true;
  RETURN_IF_ERROR(state_->start_threads());
  const Core& core = *state_->core;
  base::log_info("server", "listening on ", state_->listener.address(),
                 core.options.tls_key_file.empty() ? "" : " (TLS)");
  if (state_->probes) base::log_info("server", "probes also on ", state_->probes->address());
  return absl::OkStatus();
}

uint16_t HttpServer::port() const { return state_->listener.port(); }
uint16_t HttpServer::probe_port() const { return state_->probes ? state_->probes->port() : uint16_t{0}; }

void HttpServer::begin_drain() { state_->core->closing = true; }

void HttpServer::stop(double drain_seconds) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopped) return;
  state_->stopped = true;
  Core& core = *state_->core;
  core.draining = core.closing = true;
  state_->watching_tls.reset();
  if (state_->started) {
    state_->listener.close();
    if (state_->probes) state_->probes->close();
    if (!core.in_flight.wait_until_empty(drain_seconds) && drain_seconds > 0) {
      base::log_warning("server", "some requests were still running after ", drain_seconds,
                        " s; their connections close");
    }
    core.probes_in_flight.wait_until_empty(std::min(drain_seconds, kProbeDrainSeconds));
    core.sessions.close_all();
    state_->keep_running.clear();
    for (std::thread& thread : state_->io_threads) thread.join();
    base::log_info("server", "stopped");
  }
  // Last, because running handlers may still post to their connections. These are closed, so such posts do nothing.
  if (core.lanes != nullptr) core.lanes->join();
}

}  // namespace polymath::server
