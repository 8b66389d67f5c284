#pragma once

// The sampling fields that several dialects share, by the names each of them uses.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/limits.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"
#include "engine/request.h"

namespace polymath::api {

// The model's own defaults and eos ids; everything else neutral.
engine::SamplingParams default_sampling(const ServedModel& model);

// A number that a request may set, and its range.
struct NumberRow {
  const char* name;
  float engine::SamplingParams::*field;
  double min, max;
  bool min_is_open = false;  // the minimum itself is refused
  bool max_is_open = false;
};
absl::Status parse_numbers(base::JsonReader& j, std::span<const NumberRow> rows, engine::SamplingParams& sampling);

// True: a field of this name asks for an answer of a given form, in some server's dialect. An answer without the form
// would be wrong, so unknown fields of such names are refused instead of ignored.
bool promises_form(std::string_view name);

// "seed": 64 bits, also as 1.0; absent or -1: a random one.
absl::Status parse_seed(const base::JsonReader& j, engine::SamplingParams& sampling);

// "stop": a string or an array of them, of bounded count and size. Empty strings are dropped.
absl::StatusOr<std::vector<std::string>> parse_stop(const base::JsonReader& j, const ServedModel& model,
                                                    const ApiLimits& limits);

}  // namespace polymath::api
