#pragma once

// Checks a configuration against its algorithm, when a config is read. A RouteFn trusts it.

#include "base/status.h"
#include "routing/router.h"

namespace polymath::routing {

// kInvalidArgument names the field and the value. After ok(), router.route() stays within its arrays for any logits.
absl::Status validate(const Router& router, const RouterConfig& config);

}  // namespace polymath::routing
