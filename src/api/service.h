#pragma once

// What handlers need: engine, model, limits, threads.
//
//   Service service(engine, std::move(model), options, registry);
//   door.open(service);               // api/door.h: requests reach it
//   service.set_ready(true);          // loaded and warm
//
// The service must outlive the server's handlers; the engine must outlive the service.
// Thread safety: any thread may call anything.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/limits.h"
#include "api/output_pool.h"
#include "api/request_counts.h"
#include "api/served_model.h"
#include "api/status.h"
#include "api/ticker.h"
#include "api/unknown_fields.h"
#include "base/byte_budget.h"
#include "base/metrics.h"
#include "engine/intake.h"
#include "engine/options.h"

namespace polymath::api {

// Who may call; see api/gate.h.
struct AccessOptions {
  std::string key_file;                      // lines `name secret`; empty: none
  std::string admin_key;                     // for routes of the operator; empty: none
  bool protect_metrics = false;              // /metrics needs the admin key
  bool allow_anonymous = false;              // without keys everyone may call; false: protected mode
  std::string host;                          // that the server listens on
  std::vector<std::string> allowed_origins;  // of web pages, in protected mode
};

// What TGI's /info and headers tell of the server.
struct ServerFacts {
  std::string device = "cpu";  // the backend's name
  int requests_max = 0;        // running and waiting together
  int workers = 0;             // threads that read requests
};

struct ServiceOptions {
  ApiLimits limits;
  ServerFacts facts;
  std::vector<std::string> api_keys;  // empty, and no key file: no key is needed
  AccessOptions access;
  size_t json_memory_max = 1u << 30;  // of the JSON trees of all large bodies; beyond: 503 with Retry-After
  bool trust_request_chat_template = false;
  bool share_prefix_cache = false;  // between keys: see request/prefix_salt.h
  bool flat_errors = false;         // OpenAI's routes answer errors as vLLM 0.6.3 did
  bool tokenizer_info = false;      // GET /tokenizer_info is there
  bool request_metrics = false;     // answers tell their times
  bool force_usage = false;         // OpenAI's streams carry the usage unasked
  int output_threads = 2;           // detokenize and format
  engine::MetricsOptions metrics;   // which names there are
  std::string version;              // of /version
};

// The dialect's error body, in the form that the options choose.
ErrorBody chosen_error_body(const ServiceOptions& options, ErrorBody of_dialect);

class ResponseStore;

class Service {
 public:
  Service(engine::Intake& engine, ServedModel model, ServiceOptions options, base::MetricsRegistry& metrics);
  ~Service();

  void set_ready(bool ready) { ready_ = ready; }
  // The server is stopping: from now on everything but probes and metrics answers 503.
  void begin_drain();

  engine::Intake& engine() { return engine_; }
  const engine::Intake& engine() const { return engine_; }
  const ServedModel& model() const { return model_; }
  const ServiceOptions& options() const { return options_; }
  const ApiLimits& limits() const { return options_.limits; }
  OutputPool& pool() { return pool_; }
  Ticker* ticker() { return ticker_.get(); }  // for streams: a few ticks in stream_silence_s_max; null: no limit
  UnknownFields& unknown_fields() { return unknown_fields_; }
  base::MetricsRegistry& metrics() { return metrics_; }
  base::ByteBudget& json_memory() const { return json_memory_; }
  RequestCounts& counts() { return counts_; }
  ResponseStore& responses() { return *responses_; }
  ErrorBody error_body(ErrorBody of_dialect) const { return chosen_error_body(options_, of_dialect); }
  bool ready() const { return ready_ && engine_.healthy(); }
  bool draining() const { return draining_; }
  int64_t created() const { return created_; }

 private:
  engine::Intake& engine_;
  const ServedModel model_;
  const ServiceOptions options_;
  base::MetricsRegistry& metrics_;
  RequestCounts counts_;
  const int64_t created_;  // when the model was loaded, in seconds since 1970
  std::atomic<bool> ready_{false};
  std::atomic<bool> draining_{false};
  UnknownFields unknown_fields_;
  const std::unique_ptr<ResponseStore> responses_;
  mutable base::ByteBudget json_memory_;
  OutputPool pool_;
  std::unique_ptr<Ticker> ticker_;
};

}  // namespace polymath::api
