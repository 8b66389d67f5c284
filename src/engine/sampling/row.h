#pragma once

// One sequence's logits on their way to a token, and the steps on that way.
//
// The first steps change the logits (`logits`, a copy; -infinity: cannot come). The last ones only cut: an id stays in
// if it is above the floor, and the floor can only rise. So neither is anything sorted, nor do the cuts' order and
// number matter for what remains reachable.
//
// A step is one function in one file; list.cpp says their order. `applies` is asked first, and a step that does not
// apply costs nothing.

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

// The order of preference: higher score, then lower id.
inline bool better(const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.id < b.id; }

inline constexpr size_t kStretch = 1024;

// Set aside once for a vocabulary; a step may use what it likes and leaves `seen` and `counts` all zero.
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
  int n_unknown = 0;            // output tokens that follow, chosen and not known yet
  Scored floor = {kNever, -1};  // the worst that stays in; {kNever, -1}: everything that can come at all

  bool stays(int32_t id) const { return logits[id] > kNever && !better(floor, {logits[id], id}); }
  void raise_floor(const Scored& to) {
    if (better(to, floor)) floor = to;
  }
};

struct SamplingStep {
  std::string_view name;
  bool (*applies)(const Row& row);
  void (*apply)(Row& row);
  bool cuts;       // only raises the floor: never changes which id is best, so that greedy does without
  bool on_device;  // backend::SampleParams says it, so that a device can do it as well
};

std::span<const SamplingStep> sampling_steps();

// The highest logit's id, the lowest id among equals.
int32_t best_id(std::span<const float> logits);

// Fills scratch.weights[id] with exp(logits[id] - best), and scratch.stretches with the sums of each kStretch of them;
// returns the sum of all. `best` is the highest logit.
double weigh(std::span<const float> logits, float best, Scratch& scratch);
// The same of row.logits, with weight 0 for what does not stay in.
double weigh_staying(const Row& row);

// One file each.
extern const SamplingStep kLogitBias, kAllowedIds, kMask, kMinTokens, kPenalties, kTemperature, kMinP, kTopK, kTopP;

}  // namespace polymath::engine
