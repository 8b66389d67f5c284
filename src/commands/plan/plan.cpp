// polymath plan MODEL: memory, GPUs, speed and price, before anything is bought or loaded.

#include <cstdio>

#include "commands/flags/flags.h"
#include "commands/plan/guide.h"
#include "commands/plan/prices.h"
#include "commands/plan/report.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

absl::StatusOr<std::string> plan_output(const Options& options) {
  ASSIGN_OR_RETURN(plan::PriceList prices, prices_of(options.plan));
  const PlanSettings settings{options, std::move(prices)};
  if (options.model.name.empty() && options.plan.compare == std::vector<std::string>{kGuide}) {
    ASSIGN_OR_RETURN(const std::vector<GuideTable> tables, check_guide(settings));
    return options.plan.json ? base::to_text(guide_json(tables)) + "\n" : guide_text(tables);
  }
  std::vector<std::string> names;
  if (!options.model.name.empty()) names.push_back(options.model.name);
  names.insert(names.end(), options.plan.compare.begin(), options.plan.compare.end());
  std::vector<ModelReport> reports;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(ModelReport report, make_report(name, settings));
    reports.push_back(std::move(report));
  }
  if (!options.plan.json) {
    return options.plan.compare.empty() ? report_text(reports.front(), settings) : comparison_text(reports, settings);
  }
  base::JsonArray models;
  for (const ModelReport& report : reports) models.push_back(report_json(report, settings));
  return base::to_text(base::JsonObject{{"models", std::move(models)}}) + "\n";
}

}  // namespace

int plan(const Arguments& arguments) {
  const auto options = parse_flags(kPlan, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const auto output = plan_output(*options);
  if (!output.ok()) return fail(output.status());
  std::fputs(output->c_str(), stdout);
  return 0;
}

}  // namespace polymath::commands
