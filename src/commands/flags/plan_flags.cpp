// Flags of plan; deploy plans too.

#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"
#include "plan/gpu_group.h"

namespace polymath::commands {
namespace {

template <auto field>
absl::Status add_name(Options& o, std::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError("a name is empty");
  value_at(o, field).emplace_back(value);
  return absl::OkStatus();
}

absl::Status set_stored(Options& o, std::string_view value) {
  RETURN_IF_ERROR(plan::stored_as(value).status());
  o.plan.weights = std::string(value);
  return absl::OkStatus();
}

constexpr double kTokensPerSecondMax = 1e9;  // more than any machine: refused

constexpr Flag kFlags[] = {
    {"gpu", "", kList, kPlans, "NAME", "every known one",
     "GPUs to plan for: a10g, l4, a100-40gb, l40s, a100-80gb, h100-80gb, h200, b200, trainium1, trainium2.",
     add_name<&PlanOptions::gpus>},
    {"instance", "", kList, kPlans, "TYPE", "none", "Cloud instance types to plan for, of --prices: p5.48xlarge.",
     add_name<&PlanOptions::instances>},
    {"compare", "", kList, kPlan, "MODEL", "none",
     "More models, a line each. guide: the tables of the MoE serving guide, beside what is right.",
     add_name<&PlanOptions::compare>},
    {"stages", "", FlagKind::kValue, kPlan, "N", "1", "Pipeline stages: consecutive layers on GPUs of their own.",
     set_int<&PlanOptions::stages, 1, 64>},
    {"data-groups", "", FlagKind::kValue, kPlan, "N", "1",
     "Data parallelism: groups with sequences and attention of their own, which share the experts.",
     set_int<&PlanOptions::data_groups, 1, 64>},
    {"weights", "", FlagKind::kValue, kPlans, "FORMAT", "as the model is stored",
     "How weights are kept: bfloat16, fp8, int8, awq, gptq, mxfp4, or a format of GGUF files.", set_stored},
    {"sequences", "", FlagKind::kValue, kPlans, "N", "1",
     "Sequences of --max-model-len that must fit at once for a layout to count.",
     set_int<&PlanOptions::sequences, 1, kSequencesMax>},
    {"price", "", kSwitch, kPlan, "", "off", "Also dollars an hour, a month of 730 hours, and a million tokens.",
     set_bool<&PlanOptions::price>},
    {"prices", "", FlagKind::kValue, kPlans, "FILE", "built in",
     "Prices and instances over the built-in ones, as JSON (docs/operate/plan.md).", set_text<&PlanOptions::prices>},
    {"tokens-per-second", "", FlagKind::kValue, kPlan, "N", "--limit-share of the decode limit",
     "Measured output of the planned group, for the price of a million tokens.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(o.plan.tokens_per_second, parse_number(v, 1e-3, kTokensPerSecondMax));
       return absl::OkStatus();
     }},
    {"limit-share", "", FlagKind::kValue, kPlan, "SHARE", "0.5",
     "Share of the decode limit that is expected of a server; 0.01 to 1.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(o.plan.limit_share, parse_number(v, 0.01, 1));
       return absl::OkStatus();
     }},
};

}  // namespace

std::span<const Flag> plan_flags() { return kFlags; }

}  // namespace polymath::commands
