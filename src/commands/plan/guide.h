#pragma once

// The tables of the MoE serving guide beside what this engine computes: `plan --compare guide`.
// Source: "MoE model serving guide" for EKS, 2026-02-14.

#include <string>
#include <vector>

#include "commands/plan/report.h"

namespace polymath::commands {

inline constexpr const char* kGuide = "guide";

// One claim of the guide.
struct Claim {
  std::string subject;   // "Mixtral 8x7B, FP16 GB"
  std::string guide;     // as the guide has it
  std::string computed;  // beside it
  bool right = false;
  std::string note;  // why it is wrong; may be empty
};

struct GuideTable {
  std::string title;
  std::vector<Claim> claims;
};

absl::StatusOr<std::vector<GuideTable>> check_guide(const PlanSettings& settings);

std::string guide_text(const std::vector<GuideTable>& tables);
base::JsonObject guide_json(const std::vector<GuideTable>& tables);

}  // namespace polymath::commands
