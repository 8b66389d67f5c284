#include "backend/cuda/linear.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "quant/generated.h"

namespace polymath::backend::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLAS's manual names for Hopper
constexpr uintptr_t kAlignmentMost = 256;             // a better one changes nothing
constexpr int64_t kWord = 16;                         // bytes of an aligned row's unit

cudaDataType_t cuda_type(Type type) {
  return type == Type::kF32 ? CUDA_R_32F : type == Type::kBf16 ? CUDA_R_16BF : CUDA_R_16F;
}

// Of every row of every group: `stride` and `group_stride` in bytes.
int32_t alignment_of(const void* p, int64_t stride, int64_t group_stride) {
  const auto bits = reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(stride | group_stride);
  return static_cast<int32_t>(std::min(bits & (~bits + 1), kAlignmentMost));
}

uint64_t hash_of(const void* data, size_t bytes) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

}  // namespace

// cuBLASLt is column-major: seen so, a row-major w is its own transpose, and y^T [rows, n] = w x^T.
struct LinearRunner::Descriptors {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t w, x, y;

  Descriptors(const CublasLt& lt, const Problem& p, const float* bias) {
    const auto type = cuda_type(static_cast<Type>(p.type)), y_type = cuda_type(static_cast<Type>(p.y_type));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    lt.desc_init(&desc, sizeof(desc), CUBLAS_COMPUTE_32F, CUDA_R_32F);
    lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
    lt.layout_init(&w, sizeof(w), type, static_cast<uint64_t>(p.cols), static_cast<uint64_t>(p.rows), p.w_stride);
    lt.layout_init(&x, sizeof(x), type, static_cast<uint64_t>(p.cols), static_cast<uint64_t>(p.n), p.x_stride);
    lt.layout_init(&y, sizeof(y), y_type, static_cast<uint64_t>(p.rows), static_cast<uint64_t>(p.n), p.y_stride);
    if (bias != nullptr) {
      const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
      lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
      lt.desc_set(&desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
    }
    if (p.groups == 1) return;
    const auto batch = [&](cublasLtMatrixLayoutOpaque_t& layout, int64_t stride) {
      const auto count = static_cast<int32_t>(p.groups);
      lt.layout_set(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count));
      lt.layout_set(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride));
    };
    batch(w, p.rows * p.w_stride);
    batch(x, p.x_group_stride);
    batch(y, p.y_group_stride);
  }
};

absl::StatusOr<std::unique_ptr<LinearRunner>> LinearRunner::create(Device& device) {
  ASSIGN_OR_RETURN(const CublasLt* lt, load_cublas_lt());
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = lt->create(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return absl::FailedPreconditionError(absl::StrCat("cuBLASLt cannot be started: status ", static_cast<int>(status)));
  }
  std::unique_ptr<LinearRunner> runner(new LinearRunner(device, *lt, handle));
  ASSIGN_OR_RETURN(runner->workspace_, device.allocate(kWorkspaceBytes));
  return runner;
}

LinearRunner::~LinearRunner() { lt_.destroy(handle_); }

absl::Status LinearRunner::reserve(int64_t rows_max, int64_t cols_max) {
  const size_t bytes = static_cast<size_t>(rows_max) * static_cast<size_t>(cols_max + kWord) * sizeof(float);
  ASSIGN_OR_RETURN(input_, device_.allocate(bytes));
  return absl::OkStatus();
}

Matrix LinearRunner::aligned(const Matrix& x, Type type) {
  const int64_t bytes = type_bytes(type), stride = weight_stride(x.cols, type);
  const bool whole = x.cols == stride && alignment_of(x.data, x.stride * bytes, 0) >= kWord;
  if (x.type == type && whole) return x;
  CHECK(static_cast<size_t>(x.rows * stride * bytes) <= input_.bytes());
  const Matrix copy{input_.data(), x.rows, stride, stride, type};
  convert(x, copy, device_.stream());
  return copy;
}

const LinearRunner::Choice& LinearRunner::choose(const Problem& problem, const Descriptors& d) {
  Choice& choice = choices_[hash_of(&problem, sizeof(problem)) % kChoices];
  if (choice.known && choice.problem == problem) return choice;
  choice.problem = problem;
  choice.known = true;
  cublasLtMatmulPreferenceOpaque_t preference;
  lt_.preference_init(&preference, sizeof(preference));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    lt_.preference_set(&preference, attribute, &value, sizeof(value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(kWord));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(problem.x_alignment));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(problem.y_alignment));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(problem.y_alignment));
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  const cublasStatus_t status = lt_.heuristic(
      handle_, const_cast<cublasLtMatmulDescOpaque_t*>(&d.desc), const_cast<cublasLtMatrixLayoutOpaque_t*>(&d.w),
      const_cast<cublasLtMatrixLayoutOpaque_t*>(&d.x), const_cast<cublasLtMatrixLayoutOpaque_t*>(&d.y),
      const_cast<cublasLtMatrixLayoutOpaque_t*>(&d.y), &preference, 1, &result, &found);
  choice.exists = status == CUBLAS_STATUS_SUCCESS && found == 1 && result.state == CUBLAS_STATUS_SUCCESS;
  if (choice.exists) choice.algorithm = result.algo;
  return choice;
}

bool LinearRunner::multiply(const Problem& problem, const void* x, const void* w, const float* bias, void* y,
                            float alpha, float beta) {
  Descriptors d(lt_, problem, bias);
  const Choice& choice = choose(problem, d);
  if (!choice.exists) return false;
  const cublasStatus_t status = lt_.matmul(handle_, &d.desc, &alpha, w, &d.w, x, &d.x, &beta, y, &d.y, y, &d.y,
                                           &choice.algorithm, workspace_.data(), kWorkspaceBytes, device_.stream());
  return status == CUBLAS_STATUS_SUCCESS;
}

// A small product is over before cuBLAS has begun its; a large one cuBLAS streams as well as anybody.
bool LinearRunner::run_few(const NarrowProduct& p) {
  constexpr int64_t kNumbersMax = int64_t{48} << 20;
  if (p.w.type != Type::kBf16 || p.w.groups != 1 || p.w.rows * p.w.stride > kNumbersMax) return false;
  const bool whole_end = p.y.type == Type::kF32 || !p.epilogue.accumulate;
  if (p.x.rows > 1 && !p.gated && whole_end && linear_few(p, device_.n_multiprocessors(), device_.stream()))
    return true;
  if (p.x.rows > kLinearNarrowRowsMax) return false;
  linear_narrow(p, device_.n_multiprocessors(), device_.stream());
  return true;
}

void LinearRunner::run(const Linear& l) {
  if (l.x.rows == 0) return;
  if (l.w.type == Type::kBf16 && l.w.groups == 1 && l.x.rows <= kLinearFewRowsMax &&
      run_few({.x = aligned(l.x, Type::kBf16), .y = l.y, .w = l.w, .epilogue = l.epilogue})) {
    return;
  }
  if (l.w.groups > 1 && linear_heads({l.x, l.y, l.w, l.x_group_stride, l.y_group_stride}, device_.n_multiprocessors(),
                                     device_.stream())) {
    return;  // such a product has no epilogue
  }
  const LinearEpilogue& e = l.epilogue;
  const bool finishes = e.bias != nullptr || e.clamp > 0;
  // In place, what comes after the product needs it in f32, and a clamp needs it alone.
  if (finishes && (l.y.type != Type::kF32 || (e.accumulate && e.clamp > 0))) return run_plain(l);
  const Matrix x = aligned(l.x, l.w.type);
  Problem p;
  std::memset(static_cast<void*>(&p), 0, sizeof(p));  // it is hashed with its padding
  p.rows = l.w.rows, p.n = x.rows, p.cols = l.w.cols, p.groups = l.w.groups;
  p.w_stride = l.w.stride, p.x_stride = x.stride, p.y_stride = l.y.stride;
  p.x_group_stride = l.x_group_stride, p.y_group_stride = l.y_group_stride;
  p.type = static_cast<int32_t>(l.w.type), p.y_type = static_cast<int32_t>(l.y.type);
  const int64_t x_bytes = type_bytes(x.type), y_bytes = type_bytes(l.y.type);
  p.x_alignment = alignment_of(x.data, x.stride * x_bytes, l.x_group_stride * x_bytes);
  p.y_alignment = alignment_of(l.y.data, l.y.stride * y_bytes, l.y_group_stride * y_bytes);
  // cuBLASLt adds a bias that nothing scales; whatever else comes after the product is a pass of its own.
  p.has_bias = e.bias != nullptr && e.clamp <= 0 && e.scale == 1.0f && l.y.type == Type::kF32;
  const bool later = finishes && !e.accumulate && p.has_bias == 0;  // scale after the bias and the clamp
  if (!multiply(p, x.data, l.w.data, p.has_bias != 0 ? e.bias : nullptr, l.y.data, later ? 1.0f : e.scale,
                e.accumulate ? 1.0f : 0.0f)) {
    return run_plain(l);
  }
  const Matrix y{l.y.data, l.y.rows, l.w.rows, l.y.stride, l.y.type};
  if (later) {
    finish_linear(e, y, device_.stream());
  } else if (finishes && p.has_bias == 0) {
    add_bias(e.bias, e.scale, y, device_.stream());
  }
}

void LinearRunner::run_plain(const Linear& l) {
  plain_product({.x = l.x,
                 .y = l.y,
                 .w = l.w,
                 .epilogue = l.epilogue,
                 .round_input = l.w.type == Type::kBf16,
                 .groups = {},
                 .x_group_stride = l.x_group_stride,
                 .y_group_stride = l.y_group_stride},
                device_.stream());
}

double LinearRunner::measure_gflops(Type type) {
  constexpr int64_t kSize = 8192;
  constexpr int kRuns = 5;
  auto memory = device_.allocate(static_cast<size_t>(3 * kSize * kSize * type_bytes(type)));
  if (!memory.ok()) return 0;
  auto* data = static_cast<std::byte*>(memory->data());
  const int64_t matrix = kSize * kSize * type_bytes(type);
  // Numbers, not zeros: a card that multiplies zeros draws less power and so runs faster.
  std::array<float, quant::kQuantiles> values;
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 4096 - 0.5f;
  auto table = device_.allocate(sizeof(values));
  if (!table.ok()) return 0;
  device_.copy_in(table->data(), values.data(), sizeof(values));
  generate({.key = 1,
            .quantiles = static_cast<const float*>(table->data()),
            .rows = 2 * kSize,
            .cols = kSize,
            .row_stride = kSize,
            .to = data,
            .stride = kSize,
            .type = type},
           device_.stream());
  Linear l;
  l.x = {data, kSize, kSize, kSize, type};
  l.w = {data + matrix, 1, kSize, kSize, kSize, type};
  l.y = {data + 2 * matrix, kSize, kSize, kSize, type};
  run(l);
  device_.wait();
  const double begin = base::steady_seconds();
  for (int i = 0; i < kRuns; ++i) run(l);
  device_.wait();
  return 2.0 * kSize * kSize * kSize * kRuns / (base::steady_seconds() - begin) / 1e9;
}

}  // namespace polymath::backend::cuda
