#pragma once

// A pipeline of fake models. Each stage has a KV cache of its own. It runs its steps in order, as early or late as a
// seed says. A step is started while others are in flight; the host samples.

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <vector>

#include "engine/fake_model_test.h"

namespace polymath::engine {

class FakePipeline : public model::Model {
 public:
  struct Shape {
    int depth = 1;   // steps in flight
    int stages = 1;  // 1: a FakeModel of this depth alone
    uint32_t seed = 0;
  };
  FakePipeline(int vocab, int block_size, FakeModel::Caches caches, int rows_max, Shape shape)
      : shape_(shape), random_(shape.seed) {
    CHECK(shape.depth <= static_cast<int>(results_.size()));
    for (int s = 0; s < shape.stages; ++s) {
      stages_.push_back(std::make_unique<FakeModel>(vocab, block_size, caches, rows_max, shape.depth));
      stages_.back()->samples = shape.stages == 1;
    }
  }

  absl::Status start(const model::Batch& batch) override {
    for (const auto& stage : stages_) RETURN_IF_ERROR(stage->start(batch));
    for (size_t s = 0; s < stages_.size() && stages_.size() > 1; ++s) {
      while (random_() % 2 == 0 && n_ready(s) > 0) RETURN_IF_ERROR(run(s));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<model::StepResult> finish() override {
    n_in_flight_most_ = std::max(n_in_flight_most_, n_in_flight());
    for (size_t s = 0; s < stages_.size(); ++s) {
      while (stages_[s]->n_forwards <= n_finished_) RETURN_IF_ERROR(run(s));
    }
    return results_[static_cast<size_t>(n_finished_++) % results_.size()];
  }

  bool samples_on_device() const override { return last().samples_on_device(); }
  int steps_in_flight_max() const override { return shape_.depth; }
  int vocab() const override { return last().vocab(); }
  bool has_state() const override { return last().has_state(); }
  int n_adapters() const override { return last().n_adapters(); }
  FakeModel& stage(size_t at) const { return *stages_[at]; }
  FakeModel& last() const { return *stages_.back(); }
  int n_in_flight() const { return static_cast<int>(stages_.front()->n_starts - n_finished_); }
  int n_in_flight_most() const { return n_in_flight_most_; }  // so far

 private:
  int64_t n_ready(size_t s) const {
    const int64_t before = s == 0 ? stages_[0]->n_starts.load() : stages_[s - 1]->n_forwards.load();
    return before - stages_[s]->n_forwards;
  }
  absl::Status run(size_t s) {
    const auto slot = static_cast<size_t>(stages_[s]->n_forwards) % results_.size();
    ASSIGN_OR_RETURN(const model::StepResult result, stages_[s]->finish());
    if (s + 1 == stages_.size()) results_[slot] = result;
    return absl::OkStatus();
  }

  const Shape shape_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<FakeModel>> stages_;
  std::array<model::StepResult, 8> results_;
  int64_t n_finished_ = 0;
  int n_in_flight_most_ = 0;
};

}  // namespace polymath::engine
