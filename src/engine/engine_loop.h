#pragma once

// The engine's steps, without its thread: takes requests in, runs steps, feeds the sinks.
//
//   propose drafts -> plan -> batch -> start -> commit ... finish -> per sequence: sample, append, accept
//
// A model may sample on the device and take two steps. Then a step starts before the previous one is finished. A
// sequence that just ended may have a row in it; that token is dropped. A sequence whose token the host samples skips a
// step.
//
// A pipeline of several stages has a step in flight for each. The host samples, so a sequence is in one of them, and
// each step takes its share of the sequences.
//
// Under speculation the host samples, too: what follows depends on the accepted drafts.
//
// Owns the scheduler and the running requests. A step allocates nothing. Thread safety: any thread may call check and
// make_request; the rest belongs to one.

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "engine/loop_limits.h"
#include "engine/metrics/engine_metrics.h"
#include "engine/proposers/proposer.h"
#include "engine/sampling/repetition.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/sink_gate.h"

namespace polymath::engine {

enum class CancelMark { kNone, kCancel, kStop, kCount };

// A request from its arrival to its end.
struct RunningRequest : Sequence {
  using Sequence::Sequence;
  SamplingParams sampling;
  std::optional<RepetitionWatch> repetition;  // absent: not asked for
  bool repeats = false;                       // since the last token
  uint64_t group = 0;                         // as Request::group
  std::shared_ptr<TokenMask> mask;
  SinkGate sink;
  RequestTimes times;
  size_t index = 0;                                 // in the loop's requests
  std::atomic<CancelMark> mark{CancelMark::kNone};  // set by any thread, seen at the next step
};

// A step that was started and is not finished.
struct InFlightStep {
  struct Item {
    RunningRequest* request = nullptr;  // null: it has ended since
    int row = 0, host_row = 0;          // its first logit row: in the step, and among the host's rows
    // Its rows: first the prompt's, from position prompt_from on. Then, if it samples: one, and one for each draft.
    int prompt_from = 0, n_prompt_rows = 0;
    bool samples = false;
    bool on_device = false;  // the device samples
    int n_draft = 0;
  };
  std::vector<Item> items;
  int n_tokens = 0, n_prompt = 0, n_rows = 0, n_host_rows = 0;
  int n_new = 0;  // sequences that start in it
  StepShape shape;
  double started_at = 0;               // before the model's start()
  int n_on_device = 0, n_on_host = 0;  // sequences, by where their token is sampled
};

class EngineLoop {
 public:
  // REQUIRES: check_options().
  EngineLoop(model::Model& model, const EngineOptions& options, base::MetricsRegistry& registry);

  // kInvalidArgument, as Engine::submit. Any thread.
  absl::Status check(const Request& request) const;
  std::unique_ptr<RunningRequest> make_request(Request request, RequestId id) const;  // REQUIRES: checked. Any thread.

  void admit(std::unique_ptr<RunningRequest> request);  // REQUIRES: fewer than waiting_max + sequences_max are in
  void end_marked();                                    // ends the cancelled requests
  void end_queued();  // cancels the requests that never ran, but for those whose group has begun
  void end_all(FinishReason reason, const std::string& error);
  // Starts as many steps as allowed and finishes the first. An error: the model failed, or no memory was left. Then
  // end_all() is due, and step() must not be called again. REQUIRES: busy().
  absl::Status step();
  // For tests: this step (1: the first) fails as if the device had.
  void fail_at(uint64_t step) { fail_at_ = step; }
  // For tests: this step never ends.
  void stall_at(uint64_t step) { stall_at_ = step; }
  // Updates the rates while idle. False: all have fallen to zero.
  bool tick();

  bool busy() const { return !requests_.empty() || n_in_flight() > 0; }
  int n_waiting() const { return scheduler_.n_waiting(); }
  int64_t n_waiting_tokens() const { return scheduler_.n_waiting_tokens(); }
  EngineStats stats() const;
  std::vector<ExpertTokens> expert_tokens() const { return metrics_.expert_tokens(); }  // any thread
  void check_invariants() const { scheduler_.check_invariants(); }                      // O(blocks)
  // Called for each request before its on_finish: its place is free. A client that has its answer may come back at
  // once.
  void on_end(std::function<void(const RunningRequest&)> callback) { on_end_ = std::move(callback); }
  // Ended requests, for the caller to destroy.
  std::vector<std::unique_ptr<RunningRequest>>& ended() { return ended_; }

 private:
  int n_in_flight() const { return static_cast<int>(n_started_ - n_finished_); }
  bool plans_ahead() const;
  void propose();
  absl::Status start_and_finish();
  absl::Status start_and_finish_caught();
  absl::Status start(const StepPlan& plan);
  absl::Status finish();
  int note_started(const StepPlan& plan);
  void note_rows(const StepPlan& plan, InFlightStep& flight);
  void note_sampling(InFlightStep& flight, InFlightStep::Item& item);
  void add_host_row(InFlightStep& flight);
  std::span<const float> host_row(const model::StepResult& result, int row) const;
  void forget_in_flight();
  void deliver(const InFlightStep::Item& item, const model::StepResult& result);
  bool report_prompt(RunningRequest& request, std::span<const float> logits, int position);
  void take_sampled(RunningRequest& request, int32_t id);
  void sample_rows(const InFlightStep::Item& item, const model::StepResult& result);
  void append(RunningRequest& request, int32_t id, std::span<const float> logits);
  std::optional<FinishReason> finish_reason(const RunningRequest& request) const;
  void end_at_last_token(RunningRequest& request, FinishReason reason);
  void end_corrupted(RunningRequest& request);  // its logits are not numbers
  void end(RunningRequest& request, FinishReason reason, const std::string& error = "",
           std::optional<int32_t> stop_id = {});
  void watch(double now);

  model::Model& model_;
  const EngineOptions options_;
  const int vocab_;
  const bool samples_on_device_;              // where the request allows it
  const int depth_;                           // steps in flight at most
  const std::unique_ptr<Proposer> proposer_;  // null: no speculation
  Scheduler scheduler_;
  BatchBuilder builder_;
  Sampler sampler_;
  EngineMetrics metrics_;
  std::vector<std::unique_ptr<RunningRequest>> requests_, ended_;
  std::array<InFlightStep, kInFlightMax> in_flight_;  // step i is at i % kInFlightMax
  uint64_t n_started_ = 0, n_finished_ = 0;
  // Of the step being started, by logit row.
  std::vector<model::SampleParams> sampling_;
  std::vector<int32_t> host_rows_;
  StepTimes times_;
  EngineStats stats_;
  std::function<void(const RunningRequest&)> on_end_ = [](const RunningRequest&) {};
  uint64_t fail_at_ = 0, stall_at_ = 0;
  bool faulty_ = false;  // the device was made to fail
  bool failed_ = false;
  double left_at_ = 0;      // when step() returned last; 0: the loop was idle since
  double away_ = 0;         // seconds of step() spent waiting for the device, or computing for it
  double finished_at_ = 0;  // when the model's last step was
  double ticked_at_ = 0;
  uint64_t load_read_at_ = 0;  // step
};

}  // namespace polymath::engine
