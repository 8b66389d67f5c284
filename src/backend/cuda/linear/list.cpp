#include "backend/cuda/linear/list.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "backend/cuda/attention/ordered.h"
#include "backend/cuda/elementwise/elementwise.h"
#include "backend/cuda/linear/ordered.h"

namespace polymath::backend::cuda {
namespace {

SmallGemm small_gemm(const LinearProblem& p, const Matrix& x) {
  return {.x = x, .y = p.linear.y, .w = p.linear.w, .epilogue = p.linear.epilogue};
}

bool gemm_small_m_fits(const LinearProblem& p) {
  const Linear& l = p.linear;
  const bool whole_end = l.y.type == Type::kF32 || !l.epilogue.accumulate;
  return small_weight(l.w) && l.x.rows > 1 && whole_end &&
         gemm_small_m_sm90_fits(small_gemm(p, p.aligned), p.device->n_multiprocessors());
}
void run_gemm_small_m(const LinearProblem& p) {
  const Matrix x = p.input->align(p.linear.x, Type::kBf16);
  CHECK(gemm_small_m_sm90(small_gemm(p, x), p.device->n_multiprocessors(), p.device->stream()));
}

bool gemv_fits(const LinearProblem& p) { return small_weight(p.linear.w) && p.linear.x.rows <= kGemvRowsMax; }
void run_gemv(const LinearProblem& p) {
  const Matrix x = p.input->align(p.linear.x, Type::kBf16);
  gemv(small_gemm(p, x), p.device->n_multiprocessors(), p.device->stream());
}

// --- one order of sums for any number of rows ---

bool ordered_fits(const LinearProblem& p) {
  const Linear& l = p.linear;
  return l.w.type == Type::kBf16 && l.w.groups == 1 && l.w.cols > 0 &&
         (l.y.type == Type::kF32 || !l.epilogue.accumulate);
}
bool small_m_ordered_fits(const LinearProblem& p) {
  return ordered_fits(p) && gemm_small_m_sm90_fits(small_gemm(p, p.aligned), p.device->n_multiprocessors());
}
void run_ordered(const LinearProblem& p) {
  const Matrix x = p.input->align(p.linear.x, Type::kBf16);
  CHECK(gemm_ordered_sm90(small_gemm(p, x), p.device->n_multiprocessors(), p.device->stream()));
}

HeadGemm head_gemm(const Linear& l) { return {l.x, l.y, l.w, l.x_group_stride, l.y_group_stride}; }
bool head_gemm_fits(const LinearProblem& p) { return mla_head_gemm_fits(head_gemm(p.linear)); }
bool any_head_gemm_fits(const LinearProblem& p) { return mla_head_gemm_takes(head_gemm(p.linear)); }
void run_head_gemm(const LinearProblem& p) {
  mla_head_gemm(head_gemm(p.linear), p.device->n_multiprocessors(), p.device->stream());
}

// cuBLASLt adds an unscaled bias itself; any other epilogue is a pass of its own.
struct LtEpilogue {
  bool finishes, fused_bias;
  bool later;  // scale after bias and clamp: the GEMM's own factor stays 1
  explicit LtEpilogue(const Linear& l) {
    const LinearEpilogue& e = l.epilogue;
    finishes = e.bias != nullptr || e.clamp > 0;
    fused_bias = e.bias != nullptr && e.clamp <= 0 && e.scale == 1.0f && l.y.type == Type::kF32;
    later = finishes && !e.accumulate && !fused_bias;
  }
};

LtShape lt_shape(const LinearProblem& p) {
  const Linear& l = p.linear;
  const Matrix& x = p.aligned;
  const int64_t x_bytes = type_bytes(x.type), y_bytes = type_bytes(l.y.type);
  LtShape s;
  std::memset(static_cast<void*>(&s), 0, sizeof(s));  // it is hashed with its padding
  s.rows = l.w.rows, s.n = x.rows, s.cols = l.w.cols, s.groups = l.w.groups;
  s.w_stride = l.w.stride, s.x_stride = x.stride, s.y_stride = l.y.stride;
  s.x_group_stride = l.x_group_stride, s.y_group_stride = l.y_group_stride;
  s.type = static_cast<int32_t>(l.w.type), s.y_type = static_cast<int32_t>(l.y.type);
  s.x_alignment = alignment_of(x.data, x.stride * x_bytes, l.x_group_stride * x_bytes);
  s.y_alignment = alignment_of(l.y.data, l.y.stride * y_bytes, l.y_group_stride * y_bytes);
  s.has_bias = LtEpilogue(l).fused_bias;
  return s;
}

bool lt_fits(const LinearProblem& p) {
  const Linear& l = p.linear;
  // A pass after the GEMM, in place, needs y in f32; a clamp needs the sum without y's old value.
  const bool in_place = l.y.type == Type::kF32 && !(l.epilogue.accumulate && l.epilogue.clamp > 0);
  if (LtEpilogue(l).finishes && !in_place) return false;
  const LtShape shape = lt_shape(p);
  p.algorithm = p.lt->find(shape, shape.has_bias != 0 ? l.epilogue.bias : nullptr);
  return p.algorithm != nullptr;
}

void run_gemm_f32(const LinearProblem& p) {
  const Linear& l = p.linear;
  gemm_f32({.x = l.x,
            .y = l.y,
            .w = l.w,
            .epilogue = l.epilogue,
            .round_input = l.w.type == Type::kBf16,
            .groups = {},
            .x_group_stride = l.x_group_stride,
            .y_group_stride = l.y_group_stride},
           p.device->stream());
}

void run_lt(const LinearProblem& p) {
  const Linear& l = p.linear;
  const LinearEpilogue& e = l.epilogue;
  const LtEpilogue how(l);
  const Matrix x = p.input->align(l.x, l.w.type);
  const LtGemm gemm{.x = x.data,
                    .w = l.w.data,
                    .bias = how.fused_bias ? e.bias : nullptr,
                    .y = l.y.data,
                    .alpha = how.later ? 1.0f : e.scale,
                    .beta = e.accumulate ? 1.0f : 0.0f};
  if (!p.lt->run(*p.algorithm, gemm)) return run_gemm_f32(p);
  const Matrix y{l.y.data, l.y.rows, l.w.rows, l.y.stride, l.y.type};
  if (how.later) {
    finish_linear(e, y, p.device->stream());
  } else if (how.finishes && !how.fused_bias) {
    add_bias(e.bias, e.scale, y, p.device->stream());
  }
}

// --- packed weights ---

using PackedSmallM = bool (*)(const SmallGemm& gemm, int n_multiprocessors, cudaStream_t stream);
constexpr PackedSmallM kPackedSmallM[] = {nullptr,           packed_small_m_i8,  packed_small_m_u4,
                                          packed_small_m_u6, packed_small_m_fp4, packed_small_m_fp8};
static_assert(std::size(kPackedSmallM) == static_cast<size_t>(Cell::kCount));

Matrix cols_of(const Matrix& m, int64_t begin, int64_t n) {
  Matrix part = m;
  part.data = static_cast<std::byte*>(m.data) + begin * type_bytes(m.type);
  part.cols = n;
  return part;
}

// More rows than a tile has: its weights are read again, from the L2 cache. Unpacking them takes another five bytes a
// value.
constexpr int64_t kPackedSmallMRowsMax = 3 * kGemmSmallMRowsMax;

bool packed_ends_fit(const Linear& l) { return l.w.groups == 1 && (l.y.type == Type::kF32 || !l.epilogue.accumulate); }
bool packed_small_m_fits(const LinearProblem& p) {
  return packed_ends_fit(p.linear) && p.linear.x.rows <= kPackedSmallMRowsMax;
}
void run_packed_small_m(const LinearProblem& p) {
  const SmallGemm gemm = small_gemm(p, p.input->align(p.linear.x, Type::kBf16));
  CHECK(kPackedSmallM[static_cast<int>(gemm.w.cell)](gemm, p.device->n_multiprocessors(), p.device->stream()));
}

// As many rows at once as scratch has room for, by the plain families.
void run_unpacked(const LinearProblem& p) {
  Unpacker& unpacker = p.runner->unpacker();
  const Linear& l = p.linear;
  WeightMatrix group = l.w;
  group.groups = 1;
  const int64_t group_bytes = l.w.grid().slabs * l.w.grid().cells * cell_bytes(l.w.cell);
  const int64_t at_once = std::min(l.w.rows, std::max<int64_t>(1, unpacker.rows_max(group) / 64 * 64));
  for (int64_t g = 0; g < l.w.groups; ++g) {
    group.data = static_cast<const std::byte*>(l.w.data) + g * group_bytes;
    for (int64_t begin = 0; begin < l.w.rows; begin += at_once) {
      const int64_t n = std::min(at_once, l.w.rows - begin);
      Linear part = l;
      part.w = unpacker.rows(group, begin, n);
      part.x = l.w.groups > 1 ? cols_of(l.x, g * l.x_group_stride, l.w.cols) : l.x;
      part.y = cols_of(l.y, g * l.y_group_stride + begin, n);
      if (part.epilogue.bias != nullptr) part.epilogue.bias += begin;
      p.runner->run(part);
    }
  }
}

// In order of speed, best first.
constexpr Variant<LinearProblem> kLinear[] = {
    {"gemm_small_m_sm90", gemm_small_m_fits, run_gemm_small_m},
    {"gemv", gemv_fits, run_gemv},
    {"cublaslt", lt_fits, run_lt},
    {"gemm_f32", fits_always<LinearProblem>, run_gemm_f32},
};
constexpr Variant<LinearProblem> kPackedLinear[] = {
    {"packed_small_m_sm90", packed_small_m_fits, run_packed_small_m},
    {"unpack", fits_always<LinearProblem>, run_unpacked},
};
constexpr Variant<LinearProblem> kBatchedLinear[] = {
    {"mla_head_gemm", head_gemm_fits, run_head_gemm},
    {"cublaslt", lt_fits, run_lt},
    {"gemm_f32", fits_always<LinearProblem>, run_gemm_f32},
};
// Which row runs depends on the weight, but for the first two: they add in the same order.
constexpr Variant<LinearProblem> kLinearInvariant[] = {
    {"gemm_small_m_sm90", small_m_ordered_fits, run_gemm_small_m},
    {"gemm_ordered_sm90", ordered_fits, run_ordered},
    {"gemm_f32", fits_always<LinearProblem>, run_gemm_f32},
};
constexpr Variant<LinearProblem> kBatchedLinearInvariant[] = {
    {"mla_head_gemm", any_head_gemm_fits, run_head_gemm},
    {"gemm_f32", fits_always<LinearProblem>, run_gemm_f32},
};

}  // namespace

bool small_weight(const WeightMatrix& w) {
  constexpr int64_t kElementsMax = int64_t{48} << 20;
  return w.type == Type::kBf16 && w.groups == 1 && w.rows * w.stride <= kElementsMax;
}

std::span<const Variant<LinearProblem>> linear_variants(bool batch_invariant) {
  if (batch_invariant) return kLinearInvariant;
  return kLinear;
}
std::span<const Variant<LinearProblem>> batched_linear_variants(bool batch_invariant) {
  if (batch_invariant) return kBatchedLinearInvariant;
  return kBatchedLinear;
}
std::span<const Variant<LinearProblem>> packed_linear_variants() { return kPackedLinear; }

}  // namespace polymath::backend::cuda
