// Every backend this build knows. The one file that may ask what was built.

#include "absl/strings/str_cat.h"
#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {
namespace {

struct Row {
  std::string_view name;
  absl::StatusOr<std::unique_ptr<Backend>> (*make)(const BackendOptions&);
};

constexpr Row kBackends[] = {
    {"cpu", make_cpu_backend},
    {"reference", make_reference_backend},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_backend(std::string_view name, const BackendOptions& options) {
  std::string known;
  for (const Row& row : kBackends) {
    if (row.name == name) return row.make(options);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row.name));
  }
  return absl::NotFoundError(absl::StrCat("no backend called ", std::string(name), "; this build has: ", known));
}

}  // namespace polymath::backend
