#include "routing/router.h"

#include "routing/list.h"

namespace polymath::routing {

std::span<const Router> routers() { return kRouters; }

const Router* find_router(std::string_view name) {
  for (const Router& router : kRouters) {
    if (router.name == name) return &router;
  }
  return nullptr;
}

}  // namespace polymath::routing
