#pragma once

// Metrics under the names of Text Generation Inference 3.3.5 (--metrics-compat tgi), as far as this engine has what
// they count. Each choice counts as a request. A step that computes prompt tokens counts as `prefill`, any other as
// `decode`. TGI, too, mixes both in a prefill of chunks.
//
// Left out: tgi_batch_filter_duration, tgi_batch_concat and tgi_batch_concat_duration, since sequences join and leave a
// batch without work. Thread safety: the engine thread observes, any thread renders.

#include <array>

#include "engine/options.h"
#include "engine/request.h"
#include "engine/sequence.h"

namespace polymath::engine {

// A step that ended.
struct StepRecord {
  int n_tokens = 0;
  int n_prompt = 0;            // of these: of prompts
  int n_new = 0;               // sequences that started in it
  double forward_seconds = 0;  // of the model
  double deliver_seconds = 0;  // sampling on the host, and handing the tokens on
};

class TgiMetrics {
 public:
  TgiMetrics(const EngineOptions& options, base::MetricsRegistry& registry);

  void started(const RequestTimes& times, const Sequence& sequence);
  void step(const StepRecord& step);
  void step_failed(bool prefill);
  void drafts(int n_accepted);  // REQUIRES: speculation
  void finished(double now, const Finish& finish, const Sequence& sequence, int max_tokens);
  void levels(int n_running, int n_waiting);

 private:
  struct Batches {
    base::Counter *count, *successes, *failures;
    base::Histogram *duration, *forward, *decode;
  };
  void make_requests(const EngineOptions& options, base::MetricsRegistry& registry);
  static Batches make_batches(const char* method, base::MetricsRegistry& registry);

  base::Gauge *queue_, *batch_, *batch_tokens_;
  base::Counter *success_, *failed_, *dropped_;
  base::Histogram *duration_, *queue_duration_, *inference_, *per_token_;
  base::Histogram *input_, *generated_, *max_new_, *batch_next_;
  base::Histogram* skipped_ = nullptr;  // null: no speculation
  std::array<Batches, 2> batches_;      // prefill, decode
  int64_t n_batch_tokens_ = 0;          // that the running sequences may grow to
};

// 35 bounds in seconds, from 150 us on, each half as much again.
std::vector<double> tgi_durations();

}  // namespace polymath::engine
