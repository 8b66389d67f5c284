#include "backend/cuda/linear/lt_gemm.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace polymath::backend::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // cuBLAS's manual names it for Hopper
constexpr uintptr_t kAlignmentMost = 256;             // a larger one changes no choice
constexpr uint32_t kWeightAlignment = 16;             // of every weight's rows

cudaDataType_t cuda_type(Type type) {
  return type == Type::kF32 ? CUDA_R_32F : type == Type::kBf16 ? CUDA_R_16BF : CUDA_R_16F;
}

uint64_t hash_of(const void* data, size_t bytes) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

}  // namespace

int32_t alignment_of(const void* p, int64_t stride, int64_t group_stride) {
  const auto bits = reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(stride | group_stride);
  if (bits == 0) return static_cast<int32_t>(kAlignmentMost);
  return static_cast<int32_t>(std::min(bits & (~bits + 1), kAlignmentMost));
}

// cuBLASLt is column-major: it sees a row-major w as its transpose, and y^T [rows, n] = w x^T.
struct LtGemms::Descriptors {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t w, x, y;

  Descriptors(const CublasLt& lt, const LtShape& s, const float* bias) {
    const auto type = cuda_type(static_cast<Type>(s.type)), y_type = cuda_type(static_cast<Type>(s.y_type));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    lt.desc_init(&desc, sizeof(desc), CUBLAS_COMPUTE_32F, CUDA_R_32F);
    lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
    lt.layout_init(&w, sizeof(w), type, static_cast<uint64_t>(s.cols), static_cast<uint64_t>(s.rows), s.w_stride);
    lt.layout_init(&x, sizeof(x), type, static_cast<uint64_t>(s.cols), static_cast<uint64_t>(s.n), s.x_stride);
    lt.layout_init(&y, sizeof(y), y_type, static_cast<uint64_t>(s.rows), static_cast<uint64_t>(s.n), s.y_stride);
    if (s.has_bias != 0) {
      const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
      lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
      lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
    }
    if (s.groups == 1) return;
    const auto batch = [&](cublasLtMatrixLayoutOpaque_t& layout, int64_t stride) {
      const auto count = static_cast<int32_t>(s.groups);
      lt.layout_set(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count));
      lt.layout_set(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride));
    };
    batch(w, s.rows * s.w_stride);
    batch(x, s.x_group_stride);
    batch(y, s.y_group_stride);
  }
};

absl::StatusOr<std::unique_ptr<LtGemms>> LtGemms::create(Device& device) {
  ASSIGN_OR_RETURN(const CublasLt* lt, load_cublas_lt());
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = lt->create(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return absl::FailedPreconditionError(absl::StrCat("cuBLASLt cannot be started: status ", static_cast<int>(status)));
  }
  std::unique_ptr<LtGemms> gemms(new LtGemms(device, *lt, handle));
  ASSIGN_OR_RETURN(gemms->workspace_, device.allocate(kWorkspaceBytes));
  return gemms;
}

LtGemms::~LtGemms() { lt_.destroy(handle_); }

const LtAlgorithm* LtGemms::find(const LtShape& shape, const float* bias) {
  LtAlgorithm& slot = slots_[hash_of(&shape, sizeof(shape)) % kSlots];
  if (!slot.known || slot.shape != shape) {
    slot.shape = shape;
    slot.known = true;
    ask(slot, bias);
  }
  return slot.exists ? &slot : nullptr;
}

void LtGemms::ask(LtAlgorithm& slot, const float* bias) {
  Descriptors d(lt_, slot.shape, bias);
  cublasLtMatmulPreferenceOpaque_t preference;
  lt_.preference_init(&preference, sizeof(preference));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    lt_.preference_set(&preference, attribute, &value, sizeof(value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kWeightAlignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(slot.shape.x_alignment));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(slot.shape.y_alignment));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(slot.shape.y_alignment));
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  const cublasStatus_t status =
      lt_.heuristic(handle_, &d.desc, &d.w, &d.x, &d.y, &d.y, &preference, 1, &result, &found);
  slot.exists = status == CUBLAS_STATUS_SUCCESS && found == 1 && result.state == CUBLAS_STATUS_SUCCESS;
  if (slot.exists) slot.algorithm = result.algo;
}

bool LtGemms::run(const LtAlgorithm& a, const LtGemm& g) {
  Descriptors d(lt_, a.shape, g.bias);
  const cublasStatus_t status = lt_.matmul(handle_, &d.desc, &g.alpha, g.w, &d.w, g.x, &d.x, &g.beta, g.y, &d.y, g.y,
                                           &d.y, &a.algorithm, workspace_.data(), kWorkspaceBytes, device_.stream());
  return status == CUBLAS_STATUS_SUCCESS;
}

}  // namespace polymath::backend::cuda
