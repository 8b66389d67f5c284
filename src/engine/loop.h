#pragma once

// What the engine thread does, without the thread: takes requests in, makes steps, tells the sinks.
//
//   plan -> batch -> forward -> commit -> for each row of logits: choose, append, tell
//
// Owns the scheduler and the answers. Thread safety: check and make_answer may be called from any thread; the rest
// belongs to one. A step allocates nothing.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "engine/engine_metrics.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"

namespace polymath::engine {

enum class CancelMark { kNone, kCancel, kStop, kCount };

// A request from its arrival to its end.
struct Answer : Sequence {
  using Sequence::Sequence;
  SamplingParams sampling;
  std::shared_ptr<TokenMask> mask;
  std::shared_ptr<TokenSink> sink;
  RequestTimes times;
  size_t index = 0;                                 // in the loop's answers
  std::atomic<CancelMark> mark{CancelMark::kNone};  // set by any thread, seen at the next step
};

class Loop {
 public:
  Loop(model::Model& model, const EngineOptions& options, base::MetricsRegistry& registry);

  // kInvalidArgument, as Engine::submit. Any thread.
  absl::Status check(const Request& request) const;
  std::unique_ptr<Answer> make_answer(Request request, RequestId id) const;  // REQUIRES: checked. Any thread.

  void admit(std::unique_ptr<Answer> answer);  // REQUIRES: fewer than waiting_max + sequences_max are in
  void end_marked();                           // those that were cancelled
  void end_all(FinishReason reason, const std::string& error);
  // One forward pass and what follows from it. An error: the model failed, and end_all() is due. REQUIRES: busy().
  absl::Status step();
  // The rates, for somebody who watches while nothing happens. False: they have come to rest.
  bool tick();

  bool busy() const { return !answers_.empty(); }
  int n_waiting() const { return scheduler_.n_waiting(); }
  EngineStats stats() const;
  // Answers that ended, to be let go by the caller.
  std::vector<std::unique_ptr<Answer>>& ended() { return ended_; }

 private:
  void note_started(const StepPlan& plan);
  int64_t deliver(const StepPlan::Item& item, const tensor::Tensor& logits, int64_t row);
  bool tell_prompt(Answer& answer, std::span<const float> logits, int position);
  void choose(Answer& answer, std::span<const float> logits);
  void append(Answer& answer, int32_t id, std::span<const float> logits);
  void end(Answer& answer, FinishReason reason, const std::string& error = "", std::optional<int32_t> stop_id = {});
  void watch(double now);

  model::Model& model_;
  const EngineOptions options_;
  const int vocab_;
  Scheduler scheduler_;
  BatchBuilder builder_;
  Sampler sampler_;
  EngineMetrics metrics_;
  std::vector<std::unique_ptr<Answer>> answers_, ended_;
  EngineStats stats_;
  double ticked_at_ = 0;
  uint64_t load_read_at_ = 0;  // step
};

}  // namespace polymath::engine
