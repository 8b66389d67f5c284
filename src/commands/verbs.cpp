#include "commands/verbs.h"

#include <cstdio>

namespace polymath::commands {

int fail(const absl::Status& status) {
  std::fprintf(stderr, "polymath: %s\n", std::string(status.message()).c_str());
  return 1;
}

int fail_flags(const absl::Status& status) {
  if (absl::IsOutOfRange(status)) return 0;  // help was printed
  std::fprintf(stderr, "polymath: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace polymath::commands
