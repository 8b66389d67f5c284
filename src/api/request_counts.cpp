#include "api/request_counts.h"

#include <algorithm>

#include "engine/metrics/tgi_metrics.h"

namespace polymath::api {

RequestCounts::RequestCounts(const Model& model, base::MetricsRegistry& registry)
    : choices_(registry.histogram("vllm:request_params_n", "Choices (n) that requests ask for.",
                                  engine::metric_labels(model.name, model.metrics), {1, 2, 5, 10, 20})),
      longest_choice_(registry.histogram(
          "vllm:request_max_num_generation_tokens", "Tokens of the longest choice of a request.",
          engine::metric_labels(model.name, model.metrics), base::one_two_five(std::max(1, model.len_max)))) {
  if (!model.metrics.tgi) return;
  arrived_ = &registry.counter("tgi_request_count", "Requests to routes that generate.", {});
  invalid_ =
      &registry.counter("tgi_request_failure", "Requests that failed, by what went wrong.", {{"err", "validation"}});
  validation_ =
      &registry.histogram("tgi_request_validation_duration",
                          "Seconds to read and check a request, tokenization included.", {}, engine::tgi_durations());
}

void RequestCounts::arrived() {
  if (arrived_ != nullptr) arrived_->add();
}

void RequestCounts::validated(double seconds) {
  if (validation_ != nullptr) validation_->observe(seconds);
}

void RequestCounts::answered(const server::Answered& answered) {
  const bool refused = answered.status == 400 || answered.status == 404 || answered.status == 413 ||
                       answered.status == 415 || answered.status == 422;
  if (refused && invalid_ != nullptr) invalid_->add();
}

}  // namespace polymath::api
