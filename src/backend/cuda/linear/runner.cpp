#include "backend/cuda/linear/runner.h"

#include <array>

#include "backend/cuda/elementwise/elementwise.h"
#include "backend/cuda/generate.h"
#include "backend/cuda/linear/list.h"
#include "backend/cuda/packed/e4m3.h"
#include "base/clock.h"
#include "quant/generated.h"

namespace polymath::backend::cuda {

absl::Status AlignedInput::reserve(size_t bytes) {
  ASSIGN_OR_RETURN(memory_, device_.allocate(bytes));
  return absl::OkStatus();
}

Matrix AlignedInput::place(const Matrix& x, Type type) const {
  constexpr int64_t kWord = 16;
  const int64_t stride = weight_stride(x.cols, type);
  if (x.type == type && x.cols == stride && rows_aligned(x, kWord)) return x;
  return {memory_.data(), x.rows, stride, stride, type};
}

Matrix AlignedInput::align(const Matrix& x, Type type) {
  const Matrix to = place(x, type);
  if (to.data == x.data) return x;
  CHECK(static_cast<size_t>(to.rows * to.stride * type_bytes(type)) <= memory_.bytes());
  convert(x, to, device_.stream());
  return to;
}

Matrix AlignedInput::round(const Matrix& x) {
  CHECK(has_room(x));
  const Matrix to{memory_.data(), x.rows, x.cols, (x.cols + kTail) / 2, Type::kBf16};
  e4m3_rows({.x = x, .to = to, .groups = {}}, device_.stream());
  return to;
}

absl::Status Unpacker::reserve(size_t bytes) {
  ASSIGN_OR_RETURN(memory_, device_.allocate(bytes));
  return absl::OkStatus();
}

int64_t Unpacker::rows_max(const WeightMatrix& w) const {
  return static_cast<int64_t>(memory_.bytes()) / (w.stride * type_bytes(w.type));
}

WeightMatrix Unpacker::rows(const WeightMatrix& w, int64_t begin, int64_t n) {
  CHECK(w.groups * n <= rows_max(w));
  unpack_cells({.w = w, .row_begin = begin, .rows = n, .to = memory_.data()}, device_.stream());
  device_.launched("unpack");
  return {memory_.data(), w.groups, n, w.cols, w.stride, w.type};
}

absl::StatusOr<std::unique_ptr<LinearRunner>> LinearRunner::create(Device& device, bool batch_invariant) {
  ASSIGN_OR_RETURN(auto lt, LtGemms::create(device));
  return std::unique_ptr<LinearRunner>(new LinearRunner(device, std::move(lt), batch_invariant));
}

LinearRunner::LinearRunner(Device& device, std::unique_ptr<LtGemms> lt, bool batch_invariant)
    : device_(device),
      lt_(std::move(lt)),
      input_(device),
      unpacker_(device),
      linear_("linear", linear_variants(batch_invariant)),
      batched_linear_("batched_linear", batched_linear_variants(batch_invariant)),
      packed_("packed_linear", packed_linear_variants()) {}

absl::Status LinearRunner::reserve(int64_t elements_max, int64_t unpacked_bytes) {
  RETURN_IF_ERROR(input_.reserve(reserve_bytes(elements_max, 0)));
  return unpacker_.reserve(static_cast<size_t>(unpacked_bytes));
}

LinearProblem LinearRunner::problem_of(const Linear& linear) {
  return {.linear = linear,
          .aligned = input_.place(linear.x, linear.w.type),
          .device = &device_,
          .input = &input_,
          .lt = lt_.get(),
          .runner = this};
}

void LinearRunner::run(const Linear& linear) {
  if (linear.x.rows > 0) family(linear.w).run(problem_of(linear));
}

double LinearRunner::measure_gflops(Type type) {
  constexpr int64_t kSize = 8192;
  constexpr int kRuns = 5;
  auto memory = device_.allocate(static_cast<size_t>(3 * kSize * kSize * type_bytes(type)));
  if (!memory.ok()) return 0;
  auto* data = static_cast<std::byte*>(memory->data());
  const int64_t matrix = kSize * kSize * type_bytes(type);
  // Random values: a GPU that multiplies zeros draws less power and so clocks higher.
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
  const LinearProblem problem = problem_of(l);
  Variants<LinearProblem> fastest("linear", linear_variants(false));  // the machine's limit, not the table's
  const Variant<LinearProblem>& variant = fastest.choose(problem);
  variant.run(problem);
  device_.wait();
  const double begin = base::steady_seconds();
  for (int i = 0; i < kRuns; ++i) variant.run(problem);
  device_.wait();
  return 2.0 * kSize * kSize * kSize * kRuns / (base::steady_seconds() - begin) / 1e9;
}

}  // namespace polymath::backend::cuda
