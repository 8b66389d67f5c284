#include "api/dialects.h"

#include <algorithm>

#include "api/messages/messages.h"
#include "api/openai/openai.h"
#include "api/page/page.h"
#include "api/responses/responses.h"
#include "api/tgi/tgi.h"

namespace polymath::api {
namespace {

constexpr const Dialect* kDialects[] = {
    &kOpenAiDialect,   &kResponsesDialect,   &kMessagesDialect, &kTgiDialect,
    &kTokenizeDialect, &kInvocationsDialect, &kAdminDialect,    &kPageDialect,
};

// "/v1" of "/v1/models".
std::string_view first_segment(std::string_view path) {
  return path.substr(0, std::min(path.find('/', std::min<size_t>(1, path.size())), path.size()));
}

template <typename Matches>
const Dialect* find_dialect(const Matches& matches) {
  const auto* const found = std::find_if(std::begin(kDialects), std::end(kDialects), [&](const Dialect* dialect) {
    return std::any_of(dialect->routes.begin(), dialect->routes.end(), matches);
  });
  return found == std::end(kDialects) ? nullptr : *found;
}

}  // namespace

std::span<const Dialect* const> dialects() { return kDialects; }

const Dialect& dialect_of(std::string_view path) {
  const Dialect* owner = find_dialect([&](const Route& route) { return route.path == path; });
  if (owner != nullptr) return *owner;
  const std::string_view segment = first_segment(path);
  const Dialect* kin = find_dialect([&](const Route& route) { return first_segment(route.path) == segment; });
  return kin == nullptr ? *kDialects[0] : *kin;
}

const Route* find_route(std::string_view method, std::string_view path) {
  for (const Dialect* dialect : kDialects) {
    for (const Route& route : dialect->routes) {
      if (route.method == method && route.path == path) return &route;
    }
  }
  return nullptr;
}

}  // namespace polymath::api
