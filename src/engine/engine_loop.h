#pragma once

// What the engine thread does, without the thread: takes requests in, makes steps, tells the sinks.
//
//   plan -> batch -> start -> commit ... finish -> for each token: append, tell
//
// Where the model chooses tokens itself and takes a second step while the first runs, a step is planned and started
// before the one before it is finished. A sequence that turns out to have ended has then a row in the next step, whose
// token is dropped. Rows whose token the host has to choose, or whose logits it wants, make their sequence skip a step.
//
// Owns the scheduler and the answers. Thread safety: check and make_request may be called from any thread; the rest
// belongs to one. A step allocates nothing.

#include <array>
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
struct RunningRequest : Sequence {
  using Sequence::Sequence;
  SamplingParams sampling;
  std::shared_ptr<TokenMask> mask;
  std::shared_ptr<TokenSink> sink;
  RequestTimes times;
  size_t index = 0;                                 // in the loop's answers
  std::atomic<CancelMark> mark{CancelMark::kNone};  // set by any thread, seen at the next step
};

// A step that was started and is not finished.
struct InFlightStep {
  struct Item {
    RunningRequest* request = nullptr;  // null: it has ended since
    int row = 0, host_row = 0;          // its first row of logits: in the step, and among those that the host gets
    int told_from = 0, n_told = 0;      // the prompt's positions whose logits these rows are, to be told
    bool samples = false;               // and one row more, from which its next token is chosen,
    bool on_device = false;             // by the model
  };
  std::vector<Item> items;
  int n_tokens = 0, n_prompt = 0, n_rows = 0, n_host_rows = 0;
  int n_on_device = 0, n_on_host = 0;  // tokens, by who chooses them
};

class EngineLoop {
 public:
  EngineLoop(model::Model& model, const EngineOptions& options, base::MetricsRegistry& registry);

  // kInvalidArgument, as Engine::submit. Any thread.
  absl::Status check(const Request& request) const;
  std::unique_ptr<RunningRequest> make_request(Request request, RequestId id) const;  // REQUIRES: checked. Any thread.

  void admit(std::unique_ptr<RunningRequest> request);  // REQUIRES: fewer than waiting_max + sequences_max are in
  void end_marked();                                    // those that were cancelled
  void end_all(FinishReason reason, const std::string& error);
  // Starts as many steps as may be in flight, and finishes the first of them. An error: the model failed, and end_all()
  // is due; step() is not called again. REQUIRES: busy().
  absl::Status step();
  // For tests of what follows: this step (1: the first) fails as if the device had.
  void fail_at(uint64_t step) { fail_at_ = step; }
  // The rates, for somebody who watches while nothing happens. False: they have come to rest.
  bool tick();

  bool busy() const { return !requests_.empty() || n_in_flight() > 0; }
  int n_waiting() const { return scheduler_.n_waiting(); }
  EngineStats stats() const;
  void check_invariants() const { scheduler_.check_invariants(); }  // as the scheduler's; for tests
  // Answers that ended, to be let go by the caller.
  std::vector<std::unique_ptr<RunningRequest>>& ended() { return ended_; }

 private:
  static constexpr int kInFlightMax = 2;  // token_rows names rows of the step before; more would need more

  int n_in_flight() const { return static_cast<int>(n_started_ - n_finished_); }
  bool plans_ahead() const;
  absl::Status start_and_finish();
  absl::Status start(const StepPlan& plan);
  absl::Status finish();
  void note_started(const StepPlan& plan);
  void note_rows(const StepPlan& plan, InFlightStep& flight);
  void note_choice(InFlightStep& flight, InFlightStep::Item& item);
  void forget_in_flight();
  void deliver(const InFlightStep::Item& item, const model::StepResult& result);
  bool tell_prompt(RunningRequest& request, std::span<const float> logits, int position);
  void choose(RunningRequest& request, std::span<const float> logits);
  void take(RunningRequest& request, int32_t id, std::span<const float> logits);
  void append(RunningRequest& request, int32_t id, std::span<const float> logits);
  void end(RunningRequest& request, FinishReason reason, const std::string& error = "",
           std::optional<int32_t> stop_id = {});
  void watch(double now);

  model::Model& model_;
  const EngineOptions options_;
  const int vocab_;
  const bool samples_on_device_;  // the model, where it can
  const int depth_;               // steps in flight at most
  Scheduler scheduler_;
  BatchBuilder builder_;
  Sampler sampler_;
  EngineMetrics metrics_;
  std::vector<std::unique_ptr<RunningRequest>> requests_, ended_;
  std::array<InFlightStep, kInFlightMax> in_flight_;  // a step's place is its number modulo their number
  uint64_t n_started_ = 0, n_finished_ = 0;
  // Of the step that is being started, by its rows.
  std::vector<model::SampleParams> sampling_;
  std::vector<int32_t> host_rows_;
  EngineStats stats_;
  uint64_t fail_at_ = 0;
  bool faulty_ = false;  // the device was made to fail
  bool failed_ = false;
  double left_at_ = 0;  // when step() was left; 0: nothing was to do then
  double away_ = 0;     // seconds of step() that are not the host's
  double ticked_at_ = 0;
  uint64_t load_read_at_ = 0;  // step
};

}  // namespace polymath::engine
