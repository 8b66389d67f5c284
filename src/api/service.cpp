#include "api/service.h"

#include <ctime>
#include <utility>

#include "api/openai/error.h"
#include "api/responses/store.h"

namespace polymath::api {
namespace {

constexpr double kTicksPerSilence = 4;  // a silence lasts at most a quarter longer than its limit

std::unique_ptr<Ticker> make_ticker(OutputPool& pool, double silence_s_max) {
  return silence_s_max > 0 ? std::make_unique<Ticker>(pool, silence_s_max / kTicksPerSilence) : nullptr;
}

}  // namespace

ErrorBody chosen_error_body(const ServiceOptions& options, ErrorBody of_dialect) {
  return options.flat_errors && of_dialect == openai_error ? openai_flat_error : of_dialect;
}

Service::Service(engine::Intake& engine, ServedModel model, ServiceOptions options, base::MetricsRegistry& metrics)
    : engine_(engine),
      model_(std::move(model)),
      options_(std::move(options)),
      metrics_(metrics),
      counts_({model_.names.front(), options_.metrics, model_.model_len_max}, metrics),
      created_(static_cast<int64_t>(std::time(nullptr))),
      responses_(std::make_unique<ResponseStore>()),
      json_memory_(options_.json_memory_max),
      pool_(options_.output_threads),
      ticker_(make_ticker(pool_, options_.limits.stream_silence_s_max)) {}

Service::~Service() = default;

void Service::begin_drain() {
  ready_ = false;
  draining_ = true;
}

}  // namespace polymath::api
