#include "api/dialects.h"

#include <vector>

namespace polymath::api {

std::span<const Dialect> dialects() {
  static const std::vector<Dialect> list = {
      {"openai", openai_routes()},
      {"tokenize", tokenize_routes()},
      {"admin", admin_routes()},
  };
  return list;
}

}  // namespace polymath::api
