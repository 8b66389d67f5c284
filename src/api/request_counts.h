#pragma once

// What the API counts of requests: choices of each, and under --metrics-compat tgi those that the engine never sees.
//
// Thread safety: all of it.

#include <string>

#include "base/metrics.h"
#include "engine/options.h"
#include "server/http_server.h"

namespace polymath::api {

class RequestCounts {
 public:
  struct Model {
    const std::string& name;
    const engine::MetricsOptions& metrics;
    int len_max = 0;  // prompt and answer
  };
  RequestCounts(const Model& model, base::MetricsRegistry& registry);

  // A request asks for `n` choices of each prompt.
  void choices(int n) { choices_.observe(n); }
  base::Histogram& longest_choice() { return longest_choice_; }

  // A request that may generate has a valid key; its body is not read yet.
  void arrived();
  // Its handler has ended: it was refused, or handed to the engine.
  void validated(double seconds);
  // The answer of a route that generates.
  void answered(const server::Answered& answered);

 private:
  base::Histogram &choices_, &longest_choice_;
  base::Counter *arrived_ = nullptr, *invalid_ = nullptr;  // null: TGI's names are not asked for
  base::Histogram* validation_ = nullptr;
};

}  // namespace polymath::api
