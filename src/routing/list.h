#pragma once

#include <array>

#include "routing/router.h"

namespace polymath::routing {

extern const std::array<Router, 9> kRouters;  // in the order of routing/router.h

}  // namespace polymath::routing
