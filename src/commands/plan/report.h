#pragma once

// What `plan` says of a model: figures alone. text.cpp and json.cpp show them.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands/plan/planned_model.h"
#include "plan/smallest.h"

namespace polymath::commands {

constexpr double kHoursOfMonth = 730;

// Of as many groups as an instance holds.
struct Cost {
  const plan::Instance* instance = nullptr;
  int n_instances = 1;           // that one group takes
  int groups_of_instance = 1;    // that share one
  double dollars_an_hour = 0;    // of n_instances
  double tokens_per_second = 0;  // of all groups on them
  double dollars_a_month() const { return dollars_an_hour * kHoursOfMonth; }
  double dollars_a_million() const { return dollars_an_hour / (tokens_per_second * 3600) * 1e6; }
};

// One group of GPUs.
struct GroupReport {
  plan::GroupPlan plan;
  plan::GroupRequest request;
  int64_t kv_tokens = 0;
  std::vector<std::pair<int64_t, int64_t>> sequences;  // (tokens of each, how many fit at once)
  std::vector<std::pair<int, double>> decode;          // (sequences, tokens a second at most)
  double prefill = 0;                                  // prompt tokens a second at most
  bool fits = false;                                   // what was wanted
  std::vector<std::string> warnings;
  std::string serve;  // a command
  std::optional<Cost> cost;
};

struct ModelReport {
  std::unique_ptr<PlannedModel> model;
  plan::Wanted wanted;
  std::vector<GroupReport> groups;       // one a GPU or instance type
  std::vector<std::string> do_not_hold;  // GPUs of which even the most do not hold it
  std::string this_machine;              // the memory plan of `serve` here; empty: nothing of the model is here
  bool detailed = false;                 // one group was asked for
};

struct PlanSettings {
  const Options& options;
  plan::PriceList prices;
};

// kInvalidArgument, kNotFound: a name of a GPU or instance is not known, or the layout does not divide the model.
absl::StatusOr<ModelReport> make_report(const std::string& name, const PlanSettings& settings);

std::string report_text(const ModelReport& report, const PlanSettings& settings);
base::JsonObject report_json(const ModelReport& report, const PlanSettings& settings);
// A line a model and GPU.
std::string comparison_text(const std::vector<ModelReport>& reports, const PlanSettings& settings);

}  // namespace polymath::commands
