#include "backend/cuda/experts/list.h"

#include "backend/cuda/experts/packed_experts.h"
#include "backend/cuda/linear/list.h"
#include "backend/cuda/packed/e4m3.h"

namespace polymath::backend::cuda {
namespace {

DType dtype_of(const ExpertMlp& mlp) { return mlp.gate_up->format->dtype; }
bool taken(const ExpertMlp& mlp) {
  return ExpertRunner::takes(mlp.gate_up->shape.cols, mlp.down->shape.cols, dtype_of(mlp));
}
bool is_plain(const ExpertMlp& mlp) {
  return mlp.gate_up_bias == nullptr && mlp.down_bias == nullptr && !mlp.weight_on_input;
}
bool rows_fit(const ExpertMlp& mlp) { return taken(mlp) && first_rows_fit(mlp) && second_rows_fit(mlp); }

// A group of one without biases is two linear layers.
bool dense_fits(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.group->mlp;
  return taken(mlp) && mlp.gate_up->shape.groups == 1 && is_plain(mlp);
}
bool dense_gemv_fits(const ExpertCall& c) {
  return dense_fits(c) && c.x->rows() <= kGemvRowsMax && small_weight(weight_matrix(*c.group->mlp->gate_up));
}

bool decode_1_fits(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.group->mlp;
  return dtype_of(mlp) == DType::kBf16 && c.x->rows() == 1 && c.group->routing.ids.cols() <= kMoeDecodeTopKMax &&
         is_plain(mlp) && moe_decode_1_fits(c.runner->decode_problem(c), c.runner->n_multiprocessors());
}

// An expert has fewer tokens than a tile, on average.
bool fused_small_m_fits(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.group->mlp;
  return rows_fit(mlp) && c.group->routing.ids.shape.elements() < kSmallM * mlp.gate_up->shape.groups;
}

bool grouped_sm90_fits(const ExpertCall& c) { return rows_fit(*c.group->mlp); }
bool unaligned_large_fits(const ExpertCall& c) { return dtype_of(*c.group->mlp) == DType::kBf16; }
bool unaligned_small_fits(const ExpertCall& c) {
  return unaligned_large_fits(c) && c.x->rows() <= kUnalignedSmallTokensMax;
}

// A shared expert of the group's type joins its launch.
bool joins(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.shared->mlp;
  return mlp.gate_up->shape.groups == 1 && is_plain(mlp) && c.x->rows() >= 1 && c.x->rows() <= kSmallMSharedTokensMax &&
         dtype_of(mlp) == dtype_of(*c.group->mlp) && taken(mlp);
}
bool same_glu(const ExpertCall& c) {
  const ExpertMlp &mlp = *c.group->mlp, &other = *c.shared->mlp;
  return other.scale == mlp.scale && other.glu.kind == mlp.glu.kind && other.glu.limit == mlp.glu.limit &&
         other.glu.alpha == mlp.glu.alpha;
}
bool decode_1_shared_fits(const ExpertCall& c) { return same_glu(c) && joins(c) && decode_1_fits(c); }
bool fused_small_m_shared_fits(const ExpertCall& c) {
  return joins(c) && fused_small_m_fits(c) && rows_fit(*c.shared->mlp);
}

// Alone, either would run with its own epilogue.
bool same_ends(const ExpertCall& c) {
  const auto plain = [](const ExpertMlp& mlp) { return is_plain(mlp) && mlp.glu.kind == GluKind::kSilu; };
  return plain(*c.group->mlp) == plain(*c.shared->mlp);
}
bool invariant_shared_fits(const ExpertCall& c) { return fused_small_m_shared_fits(c) && same_ends(c); }
// --- packed weights ---

const PackedExperts* packed_kernels(const ExpertMlp& mlp) {
  return find_packed_experts(cell_of(*mlp.gate_up->format), cell_of(*mlp.down->format));
}
bool packed_decode_1_fits(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.group->mlp;
  const PackedExperts* kernels = packed_kernels(mlp);
  return kernels != nullptr && c.x->rows() == 1 && c.group->routing.ids.cols() <= kMoeDecodeTopKMax && is_plain(mlp) &&
         second_rows_fit(mlp) && kernels->decode_1_fits(c.runner->decode_problem(c), c.runner->n_multiprocessors());
}
// Both weights are of E4M3 codes. The kernel rounds its inputs to such ones too.
bool e4m3_fits(const ExpertCall& c) {
  const ExpertMlp& mlp = *c.group->mlp;
  return rows_fit(mlp) && is_e4m3(cell_of(*mlp.gate_up->format)) && is_e4m3(cell_of(*mlp.down->format));
}
// Where it was measured to be faster than the kernels that do not round.
bool e4m3_is_faster(const ExpertCall& c) {
  constexpr int64_t kHiddenLarge = 4096;
  const ExpertMlp& mlp = *c.group->mlp;
  const int64_t tokens_min = mlp.gate_up->shape.cols >= kHiddenLarge ? 32 : 128;  // an expert, on average
  return e4m3_fits(c) && shares_e4m3_scales(mlp.gate_up->format->block_cols) &&
         shares_e4m3_scales(mlp.down->format->block_cols) &&
         c.group->routing.ids.shape.elements() >= tokens_min * mlp.gate_up->shape.groups;
}
bool packed_fused_fits(const ExpertCall& c) {
  return packed_kernels(*c.group->mlp) != nullptr && fused_small_m_fits(c) && !e4m3_is_faster(c);
}
bool packed_grouped_fits(const ExpertCall& c) { return grouped_sm90_fits(c) && !e4m3_is_faster(c); }
// Scratch is planned for rows that no packed kernel takes; others have it by chance.
bool unpack_fits(const ExpertCall& c) { return !rows_fit(*c.group->mlp) || c.runner->can_unpack(*c.group->mlp); }
bool unpack_sm90_fits(const ExpertCall& c) { return grouped_sm90_fits(c) && unpack_fits(c); }
bool unpack_small_fits(const ExpertCall& c) { return c.x->rows() <= kUnalignedSmallTokensMax && unpack_fits(c); }

bool joins_packed(const ExpertCall& c) {
  const ExpertMlp &mlp = *c.group->mlp, &other = *c.shared->mlp;
  return mlp.gate_up->format == other.gate_up->format && mlp.down->format == other.down->format && joins(c);
}
bool packed_decode_1_shared_fits(const ExpertCall& c) {
  return joins_packed(c) && same_glu(c) && packed_decode_1_fits(c);
}
bool packed_fused_shared_fits(const ExpertCall& c) {
  return joins_packed(c) && packed_fused_fits(c) && rows_fit(*c.shared->mlp);
}

// --- scratch ---

constexpr int64_t kElement = 2, kSum = 4;  // bytes of an intermediate element, of an f32 sum

int64_t row_bytes(int64_t cols) { return weight_stride(cols, Type::kBf16) * kElement; }

ExpertScratch dense_scratch(const ExpertShape& s) {
  if (s.groups > 1) return {};
  return {.intermediate = s.pairs_max * row_bytes(s.intermediate), .gate_up = s.pairs_max * 2 * s.intermediate * kSum};
}
ExpertScratch decode_1_scratch(const ExpertShape& s) {
  return {.intermediate = std::min<int64_t>(s.pairs_max, kMoeDecodeTopKMax) * row_bytes(s.intermediate)};
}
ExpertScratch grouped_scratch(const ExpertShape& s) {
  return {.intermediate = s.pairs_max * row_bytes(s.intermediate),
          .outputs = s.pairs_max * s.hidden * kSum,
          .sorted = s.pairs_max * row_bytes(s.hidden)};
}
ExpertScratch fused_small_m_scratch(const ExpertShape& s) {
  ExpertScratch scratch = grouped_scratch(s);
  if (s.groups > 1) return scratch;
  const int64_t joined = std::min(s.pairs_max, kSmallMSharedTokensMax);
  scratch.shared_intermediate = joined * row_bytes(s.intermediate);
  scratch.shared_outputs = joined * second_parts(s.intermediate) * s.hidden * kSum;
  return scratch;
}

// --- tables, in order of speed, best first ---

using Grouped = ExpertRunner::Grouped;
template <Grouped kKernel>
void run_grouped(const ExpertCall& c) {
  c.runner->run_grouped(c, kKernel);
}
void run_decode_1(const ExpertCall& c) { c.runner->run_decode_1(c); }
void run_fused_small_m(const ExpertCall& c) { c.runner->run_fused_small_m(c); }

constexpr ExpertVariant kExpertMlp[] = {
    {{"dense_gemv_glu", dense_gemv_fits, [](const ExpertCall& c) { c.runner->run_dense(c, true); }}, dense_scratch},
    {{"dense_gemm", dense_fits, [](const ExpertCall& c) { c.runner->run_dense(c, false); }}, dense_scratch},
    {{"moe_decode_1", decode_1_fits, run_decode_1}, decode_1_scratch},
    {{"moe_fused_small_m", fused_small_m_fits, run_fused_small_m}, fused_small_m_scratch},
    {{"grouped_gemm_sm90", grouped_sm90_fits, run_grouped<Grouped::kSm90>}, grouped_scratch},
    {{"grouped_gemm_unaligned_small", unaligned_small_fits, run_grouped<Grouped::kUnalignedSmall>}, grouped_scratch},
    {{"grouped_gemm_unaligned_large", unaligned_large_fits, run_grouped<Grouped::kUnalignedLarge>}, grouped_scratch},
    {{kComposition, fits_always<ExpertCall>, nullptr}},
};
constexpr ExpertVariant kWithShared[] = {
    {{"moe_decode_1", decode_1_shared_fits, run_decode_1}, decode_1_scratch},
    {{"moe_fused_small_m", fused_small_m_shared_fits, run_fused_small_m}, fused_small_m_scratch},
    {{kComposition, fits_always<ExpertCall>, nullptr}},
};

// The fused kernel's tiles add in the order of grouped_gemm_sm90's, whose rounding combine() repeats. A dense network
// is a group of one.
constexpr ExpertVariant kExpertMlpInvariant[] = {
    {{"moe_fused_small_m", fused_small_m_fits, run_fused_small_m}, fused_small_m_scratch},
    {{"grouped_gemm_sm90", grouped_sm90_fits, run_grouped<Grouped::kSm90>}, grouped_scratch},
    {{"grouped_gemm_unaligned_large", unaligned_large_fits, run_grouped<Grouped::kUnalignedLarge>}, grouped_scratch},
    {{kComposition, fits_always<ExpertCall>, nullptr}},
};
constexpr ExpertVariant kWithSharedInvariant[] = {
    {{"moe_fused_small_m", invariant_shared_fits, run_fused_small_m}, fused_small_m_scratch},
    {{kComposition, fits_always<ExpertCall>, nullptr}},
};
// Last, a layer's weights are unpacked, one GEMM's at a time, for the kernels of plain ones.
constexpr ExpertVariant kPackedExpertMlp[] = {
    {{"packed_decode_1", packed_decode_1_fits, run_decode_1}, decode_1_scratch},
    {{"packed_fused_small_m", packed_fused_fits, run_fused_small_m}, fused_small_m_scratch},
    {{"packed_dense", dense_fits, [](const ExpertCall& c) { c.runner->run_dense(c, false); }}, dense_scratch},
    {{"packed_grouped_gemm_sm90", packed_grouped_fits, run_grouped<Grouped::kPackedSm90>}, grouped_scratch},
    {{"e4m3_grouped_gemm_sm90", e4m3_fits, run_grouped<Grouped::kE4m3>}, grouped_scratch},
    {{"unpack_grouped_gemm_sm90", unpack_sm90_fits, run_grouped<Grouped::kSm90>}, grouped_scratch},
    {{"unpack_grouped_gemm_small", unpack_small_fits, run_grouped<Grouped::kUnalignedSmall>}, grouped_scratch},
    {{"unpack_grouped_gemm_large", unpack_fits, run_grouped<Grouped::kUnalignedLarge>}, grouped_scratch},
};
constexpr ExpertVariant kPackedWithShared[] = {
    {{"packed_decode_1", packed_decode_1_shared_fits, run_decode_1}, decode_1_scratch},
    {{"packed_fused_small_m", packed_fused_shared_fits, run_fused_small_m}, fused_small_m_scratch},
    {{kComposition, fits_always<ExpertCall>, nullptr}},
};

}  // namespace

bool first_rows_fit(const ExpertMlp& mlp) { return mlp.gate_up->shape.rows % 16 == 0; }
bool second_rows_fit(const ExpertMlp& mlp) { return mlp.down->shape.rows % 8 == 0; }

int64_t second_parts(int64_t intermediate) {
  constexpr int64_t kInputsMost = 4096;
  return (intermediate + kInputsMost - 1) / kInputsMost;
}

std::span<const ExpertVariant> expert_mlp_variants(bool batch_invariant) {
  if (batch_invariant) return kExpertMlpInvariant;
  return kExpertMlp;
}
std::span<const ExpertVariant> expert_mlp_with_shared_variants(bool batch_invariant) {
  if (batch_invariant) return kWithSharedInvariant;
  return kWithShared;
}
std::span<const ExpertVariant> packed_expert_mlp_variants() { return kPackedExpertMlp; }
std::span<const ExpertVariant> packed_expert_mlp_with_shared_variants() { return kPackedWithShared; }

}  // namespace polymath::backend::cuda
