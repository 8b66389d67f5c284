#pragma once

// One row of logits, and the sampling steps it passes.
//
// The first steps change `logits`, a copy; -infinity excludes an id. The last ones only raise a floor. Ids worse than
// the floor are cut. So nothing is sorted.
//
// A step is one function in one file; list.cpp has their order. A step whose `applies` is false costs nothing.

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace polymath::engine {

inline constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Scored {
  float score;
  int32_t id;
};

// Order of preference: higher score, then lower id.
inline bool better(const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.id < b.id; }

inline constexpr size_t kStretch = 1024;

// Allocated once for a vocabulary. A step may use all of it, and leaves `seen` and `counts` all zero.
struct Scratch {
  explicit Scratch(int vocab)
      : logits(vocab),
        weights(vocab),
        stretches(vocab / kStretch + 1),
        bins(1 << 14),
        scored(vocab),
        counts(vocab),
        seen(vocab),
        words((vocab + 63) / 64) {}
  std::vector<float> logits;
  std::vector<float> weights;     // see weigh
  std::vector<double> stretches;  // sums of kStretch weights each
  std::vector<double> bins;       // of top_p
  std::vector<Scored> scored;
  std::vector<int32_t> counts;
  std::vector<uint8_t> seen;
  std::vector<uint64_t> words;
};

struct Row {
  const SamplingParams& params;
  std::span<const int32_t> prompt, output;
  TokenMask* mask;          // null: none
  std::span<float> logits;  // [vocab]
  Scratch& scratch;
  int n_unknown = 0;            // output tokens after `output` that the host does not know yet
  Scored floor = {kNever, -1};  // the worst that stays; {kNever, -1}: all that are not excluded

  bool stays(int32_t id) const { return logits[id] > kNever && !better(floor, {logits[id], id}); }
  void raise_floor(const Scored& to) {
    if (better(to, floor)) floor = to;
  }
};

struct SamplingStep {
  std::string_view name;
  bool (*applies)(const Row& row);
  void (*apply)(Row& row);
  bool cuts;       // only raises the floor. The best id stays, so greedy skips it
  bool on_device;  // backend::SampleParams has its parameter, so a device can do it
};

std::span<const SamplingStep> sampling_steps();

// The id of the highest logit; among equals the lowest id.
int32_t best_id(std::span<const float> logits);

// Fills scratch.weights[id] with exp(logits[id] - best), and scratch.stretches with sums of kStretch weights each.
// Returns the sum of all. `best` is the highest logit.
double weigh(std::span<const float> logits, float best, Scratch& scratch);
// The same for row.logits, with weight 0 below the floor.
double weigh_staying(const Row& row);

// One file each.
extern const SamplingStep kLogitBias, kAllowedIds, kMask, kBadIds, kMinTokens, kPenalties, kTemperature, kMinP, kTopK,
    kTopP, kTypicalP;

}  // namespace polymath::engine
