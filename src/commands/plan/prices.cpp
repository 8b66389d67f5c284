#include "commands/plan/prices.h"

#include "base/read_file.h"

namespace polymath::commands {

absl::StatusOr<plan::PriceList> prices_of(const PlanOptions& options) {
  if (options.prices.empty()) return plan::built_in_prices();
  ASSIGN_OR_RETURN(const std::string text, base::read_file(options.prices, plan::kPriceListBytesMax));
  auto own = plan::parse_prices(text);
  if (!own.ok()) return absl::Status(own.status().code(), options.prices + ": " + std::string(own.status().message()));
  return plan::merge_prices(plan::built_in_prices(), *std::move(own));
}

}  // namespace polymath::commands
