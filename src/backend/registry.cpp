// Every backend of this build. Only this file may ask what was built.

#include "absl/strings/str_cat.h"
#include "backend/backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "base/log.h"
#if POLYMATH_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace polymath::backend {
namespace {

struct Row {
  std::string_view name;
  absl::StatusOr<std::unique_ptr<Backend>> (*make)(const BackendOptions&);
};

// In the order in which "auto" tries them.
constexpr Row kBackends[] = {
#if POLYMATH_CUDA
    {"cuda", make_cuda_backend},
#endif
    {"cpu", make_cpu_backend},
    {"reference", make_reference_backend},
};

// The user named no device, so a missing one is no error. The next one is tried, and the log says so.
absl::StatusOr<std::unique_ptr<Backend>> make_first(const BackendOptions& options) {
  for (const Row& row : kBackends) {
    auto backend = row.make(options);
    if (backend.ok() || backend.status().code() != absl::StatusCode::kFailedPrecondition) return backend;
    base::log_info("backend", "not on ", row.name, ": ", backend.status().message());
  }
  return absl::InternalError("no backend can be used");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_backend(std::string_view name, const BackendOptions& options) {
  if (name == "auto") return make_first(options);
  std::string known;
  for (const Row& row : kBackends) {
    if (row.name == name) return row.make(options);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row.name));
  }
  return absl::NotFoundError(absl::StrCat("this build has no backend called ", std::string(name), "; it has ", known));
}

}  // namespace polymath::backend
