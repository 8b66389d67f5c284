#include "server/http_server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "server/core.h"
#include "server/listener.h"

namespace polymath::server {

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

struct HttpServer::State {
  explicit State(HttpServerOptions options) : core(std::make_shared<Core>(std::move(options))), listener(core) {}

  const std::shared_ptr<Core> core;
  Listener listener;
  std::mutex mutex;  // of start and stop
  bool started = false, stopped = false;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> keep_running;
  std::vector<std::thread> io_threads;
};

HttpServer::HttpServer(HttpServerOptions options) {
  CHECK(options.io_threads >= 1 && options.worker_threads >= 1);
  state_ = std::make_shared<State>(std::move(options));
}

HttpServer::~HttpServer() { stop(0); }

void HttpServer::route(std::string_view method, std::string_view path, HttpHandler handler) {
  CHECK(!state_->started);
  state_->core->router.add(method, path, std::move(handler));
}

void HttpServer::set_error_body(ErrorBody make) {
  CHECK(!state_->started);
  state_->core->error_body = std::move(make);
}

void HttpServer::set_gate(std::function<Admission(const HttpRequest&)> gate) {
  CHECK(!state_->started);
  state_->core->gate = std::move(gate);
}

void HttpServer::set_metrics(base::MetricsRegistry& registry) {
  CHECK(!state_->started);
  state_->core->metrics = std::make_unique<RequestMetrics>(registry);
}

absl::Status HttpServer::start() {
  const std::lock_guard lock(state_->mutex);
  CHECK(!state_->started && !state_->stopped);
  RETURN_IF_ERROR(state_->listener.listen());
  state_->started = true;
  Core& core = *state_->core;
  state_->keep_running.emplace(core.io.get_executor());
  for (int i = 0; i < core.options.io_threads; ++i) {
    state_->io_threads.emplace_back([&core] { core.io.run(); });
  }
  base::log_info("server", "listening on ", state_->listener.address(),
                 core.options.tls_key_file.empty() ? "" : " (TLS)");
  return absl::OkStatus();
}

uint16_t HttpServer::port() const { return state_->listener.port(); }

void HttpServer::begin_drain() { state_->core->closing = true; }

void HttpServer::stop(double drain_seconds) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopped) return;
  state_->stopped = true;
  Core& core = *state_->core;
  core.draining = core.closing = true;
  if (state_->started) {
    state_->listener.close();
    if (!core.in_flight.wait_until_empty(drain_seconds) && drain_seconds > 0) {
      base::log_warning("server", "some requests were still running after ", drain_seconds,
                        " s; their connections close");
    }
    core.sessions.close_all();
    state_->keep_running.reset();
    for (std::thread& thread : state_->io_threads) thread.join();
    base::log_info("server", "stopped");
  }
  // Last, because running handlers may still post to their connections. These are closed, so such posts do nothing.
  core.workers.join();
}

}  // namespace polymath::server
