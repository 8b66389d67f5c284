// Every backend of this build. Only this file may ask what was built.

#include "absl/strings/str_cat.h"
#include "backend/batch_invariant.h"
#include "backend/communicators.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/device_addresses.h"
#include "backend/reference/reference_backend.h"
#include "base/log.h"
#if POLYMATH_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace polymath::backend {
namespace {

using Communicators = std::vector<std::unique_ptr<parallel::Communicator>>;

struct Row {
  std::string_view name;
  absl::StatusOr<std::unique_ptr<Backend>> (*make)(const BackendOptions&, bool batch_invariant);
  absl::StatusOr<Communicators> (*communicators)(const std::vector<Backend*>& backends);
  std::vector<std::string> (*addresses)(int n_devices);
};

absl::StatusOr<Communicators> in_host_memory(const std::vector<Backend*>& backends) {
  return parallel::host_communicators(static_cast<int>(backends.size()));
}

std::vector<std::string> no_addresses(int) { return {}; }

// For backends that always are.
template <auto make_one>
absl::StatusOr<std::unique_ptr<Backend>> always(const BackendOptions& options, bool) {
  return make_one(options);
}

// In the order in which "auto" tries them.
constexpr Row kBackends[] = {
#if POLYMATH_CUDA
    {"cuda", make_cuda_backend, make_cuda_communicators, cuda_device_addresses},
#endif
    {"cpu", always<make_cpu_backend>, in_host_memory, no_addresses},
    {"reference", always<make_reference_backend>, in_host_memory, no_addresses},
};

// The user named no device, so a missing one is no error. The next one is tried, and the log says so.
absl::StatusOr<std::unique_ptr<Backend>> make_first(const BackendOptions& options, bool batch_invariant) {
  for (const Row& row : kBackends) {
    auto backend = row.make(options, batch_invariant);
    if (backend.ok() || backend.status().code() != absl::StatusCode::kFailedPrecondition) return backend;
    base::log_info("backend", "not on ", row.name, ": ", backend.status().message());
  }
  return absl::InternalError("no backend can be used");
}

absl::StatusOr<std::unique_ptr<Backend>> make(std::string_view name, const BackendOptions& options,
                                              bool batch_invariant) {
  if (name == "auto") return make_first(options, batch_invariant);
  std::string known;
  for (const Row& row : kBackends) {
    if (row.name == name) return row.make(options, batch_invariant);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row.name));
  }
  return absl::NotFoundError(absl::StrCat("this build has no backend called ", std::string(name), "; it has ", known));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> make_backend(std::string_view name, const BackendOptions& options) {
  return make(name, options, false);
}

absl::StatusOr<Communicators> make_communicators(const std::vector<Backend*>& backends) {
  CHECK(!backends.empty());
  for (const Row& row : kBackends) {
    if (row.name == backends.front()->name()) return row.communicators(backends);
  }
  return absl::InternalError("no backend of this build");
}

std::vector<std::string> device_addresses(std::string_view backend, int n_devices) {
  for (const Row& row : kBackends) {
    if (row.name == backend) return row.addresses(n_devices);
  }
  return {};
}

absl::StatusOr<std::unique_ptr<Backend>> make_batch_invariant_backend(std::string_view name,
                                                                      const BackendOptions& options) {
  return make(name, options, true);
}

}  // namespace polymath::backend
