#include "backend/cuda/linear/cublas_lt.h"

#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::backend::cuda {
namespace {

// The loader's own search (LD_LIBRARY_PATH, ldconfig), then the toolkit's folders.
constexpr const char* kPlaces[] = {"libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13",
                                   "/usr/local/cuda-13/lib64/libcublasLt.so.13"};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

absl::StatusOr<CublasLt> load() {
  void* library = nullptr;
  std::string first_error;
  for (const char* place : kPlaces) {
    library = dlopen(place, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
    if (first_error.empty()) first_error = dlerror();
  }
  if (library == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cuBLASLt of CUDA 13 is missing (", first_error,
                                                      "); install it, or name its folder in LD_LIBRARY_PATH"));
  }
  CublasLt lt;
  const bool whole = find(library, "cublasLtCreate", lt.create) && find(library, "cublasLtDestroy", lt.destroy) &&
                     find(library, "cublasLtGetVersion", lt.version) && find(library, "cublasLtMatmul", lt.matmul) &&
                     find(library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic) &&
                     find(library, "cublasLtMatmulDescInit_internal", lt.desc_init) &&
                     find(library, "cublasLtMatmulDescSetAttribute", lt.desc_set) &&
                     find(library, "cublasLtMatrixLayoutInit_internal", lt.layout_init) &&
                     find(library, "cublasLtMatrixLayoutSetAttribute", lt.layout_set) &&
                     find(library, "cublasLtMatmulPreferenceInit_internal", lt.preference_init) &&
                     find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  if (!whole) return absl::FailedPreconditionError("libcublasLt.so.13 lacks a function that is used here");
  return lt;
}

}  // namespace

absl::StatusOr<const CublasLt*> load_cublas_lt() {
  static const absl::StatusOr<CublasLt> loaded = load();
  RETURN_IF_ERROR(loaded.status());
  return &*loaded;
}

}  // namespace polymath::backend::cuda
