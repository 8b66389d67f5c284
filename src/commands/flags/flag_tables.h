#pragma once

// The tables of flags by theme, and what their rows are made of. Only they and flag_table.cpp include this.
// A row: name, kind, verbs, default, help, and its effect.

#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "commands/flags/flag_values.h"
#include "commands/flags/flags.h"

namespace polymath::commands {

std::span<const Flag> model_flags();
std::span<const Flag> engine_flags();
std::span<const Flag> parallel_flags();
std::span<const Flag> server_flags();
std::span<const Flag> command_flags();
std::span<const Flag> load_flags();
std::span<const Flag> plan_flags();
std::span<const Flag> deploy_flags();
std::span<const Flag> pull_flags();
std::span<const Flag> refused_flags();
std::span<const Flag> newest_flags();

inline constexpr FlagKind kSwitch = FlagKind::kSwitch;
inline constexpr FlagKind kList = FlagKind::kList;
inline constexpr uint16_t kLoads = kServe | kRun | kBench;  // verbs that load a model
inline constexpr uint16_t kAll = kLoads | kInspect | kKernels;
inline constexpr uint16_t kPlans = kPlan | kDeploy;                 // verbs that plan without a GPU
inline constexpr uint16_t kModels = kAll | kBenchQuality | kPlans;  // verbs that name a model
inline constexpr uint16_t kShapes = kLoads | kKernels;              // verbs that ask a backend about a model's shapes

inline constexpr int64_t kModelLenMax = 1 << 24;    // a longer context than any model's: refused
inline constexpr int64_t kSequencesMax = 1 << 16;   // more at once than memory holds: refused
inline constexpr int64_t kStepTokensMax = 1 << 20;  // a larger forward pass than scratch memory holds: refused
inline constexpr int64_t kWaitingMax = 1 << 20;     // a longer queue: refused

template <class Part>
Part& part_of(Options& o) {
  if constexpr (std::is_same_v<Part, ModelOptions>) return o.model;
  if constexpr (std::is_same_v<Part, AdapterOptions>) return o.model.adapters;
  if constexpr (std::is_same_v<Part, TextOptions>) return o.text;
  if constexpr (std::is_same_v<Part, RuntimeOptions>) return o.runtime;
  if constexpr (std::is_same_v<Part, ServerOptions>) return o.server;
  if constexpr (std::is_same_v<Part, RunOptions>) return o.run;
  if constexpr (std::is_same_v<Part, BenchOptions>) return o.bench;
  if constexpr (std::is_same_v<Part, QualityOptions>) return o.quality;
  if constexpr (std::is_same_v<Part, QuantizeOptions>) return o.quantize;
  if constexpr (std::is_same_v<Part, load::LoadOptions>) return o.load;
  if constexpr (std::is_same_v<Part, InspectOptions>) return o.inspect;
  if constexpr (std::is_same_v<Part, KernelsOptions>) return o.kernels;
  if constexpr (std::is_same_v<Part, PlanOptions>) return o.plan;
  if constexpr (std::is_same_v<Part, DeployOptions>) return o.deploy;
  if constexpr (std::is_same_v<Part, PullOptions>) return o.pull;
}

template <class Part, class Value>
Value& value_at(Options& o, Value Part::*field) {
  return part_of<Part>(o).*field;
}

// `field`: a pointer to a member of one part of Options.
template <auto field>
absl::Status set_text(Options& o, std::string_view value) {
  value_at(o, field) = std::string(value);
  return absl::OkStatus();
}

template <auto field, int64_t min, int64_t max>
absl::Status set_int(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t number, parse_int(value, {min, max}));
  value_at(o, field) = static_cast<int>(number);
  return absl::OkStatus();
}

template <auto field, bool inverted = false>
absl::Status set_bool(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const bool flag, parse_bool(value));
  value_at(o, field) = flag != inverted;
  return absl::OkStatus();
}

template <auto field>
absl::Status set_seconds(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(value_at(o, field), parse_number(value, 0, 86400));
  return absl::OkStatus();
}

// For flags whose every value changes nothing.
inline absl::Status accept(Options&, std::string_view) { return absl::OkStatus(); }

}  // namespace polymath::commands
