#include "backend/cuda/attention/list.h"

#include "absl/strings/str_cat.h"
#include "backend/cuda/attention/ordered.h"

namespace polymath::backend::cuda {
namespace {

bool decode(const AttentionProblem& p) { return p.n_tokens == p.n_seqs; }

template <void (*run)(const AttentionProblem&, cudaStream_t)>
void launch(const AttentionCall& c) {
  run(c.entry, c.stream);
}

// In order of speed, best first.
constexpr Variant<AttentionCall> kAttention[] = {
    {"paged_attention_decode", [](const AttentionCall& c) { return paged_attention_decode_fits(c.entry); },
     launch<paged_attention_decode>},
    {"paged_attention_wgmma",
     [](const AttentionCall& c) { return !decode(c.entry) && paged_attention_wgmma_fits(c.entry); },
     launch<paged_attention_wgmma>},
    {"paged_attention_mma",
     [](const AttentionCall& c) { return !decode(c.entry) && paged_attention_mma_fits(c.entry); },
     launch<paged_attention_mma>},
    {"mla_decode", [](const AttentionCall& c) { return decode(c.entry) && mla_fits(c.entry); }, launch<mla_decode>},
    {"mla_prefill_wgmma", [](const AttentionCall& c) { return !decode(c.entry) && mla_prefill_wgmma_fits(c.entry); },
     launch<mla_prefill_wgmma>},
    {"mla_prefill", [](const AttentionCall& c) { return !decode(c.entry) && mla_fits(c.entry); }, launch<mla_prefill>},
    {"paged_attention_f32", fits_always<AttentionCall>, launch<paged_attention_f32>},
};

constexpr Variant<AttentionCall> kAttentionInvariant[] = {
    {"paged_attention_ordered", [](const AttentionCall& c) { return paged_attention_mma_fits(c.entry); },
     launch<paged_attention_ordered>},
    {"mla_ordered", [](const AttentionCall& c) { return mla_ordered_fits(c.entry); }, launch<mla_ordered>},
    {"paged_attention_f32_ordered", fits_always<AttentionCall>, launch<paged_attention_f32_ordered>},
};

constexpr Variant<AttentionOfQkvCall> kAttentionOfQkv[] = {
    {"paged_attention_decode_qkv", [](const AttentionOfQkvCall& c) { return paged_attention_decode_qkv_fits(c.entry); },
     [](const AttentionOfQkvCall& c) { paged_attention_decode_qkv(c.entry, c.stream); }},
    {kComposition, fits_always<AttentionOfQkvCall>, nullptr},
};

bool qkv_prologue_fits(const QkvPrologueCall& c) {
  return c.entry.params.norm != QkvNorm::kWhole && c.entry.params.head_dim <= kQkvHeadMax;
}
void run_qkv_prologue(const QkvPrologueCall& c) { qkv_prologue(c.entry, c.stream); }

// The two kernels that the composition would run.
bool ordered_of_qkv_fits(const AttentionOfQkvCall& c) {
  return qkv_prologue_fits({c.entry.qkv}) && paged_attention_mma_fits(c.entry.attention);
}
void run_ordered_of_qkv(const AttentionOfQkvCall& c) {
  qkv_prologue(c.entry.qkv, c.stream);
  paged_attention_ordered(c.entry.attention, c.stream);
}

constexpr Variant<AttentionOfQkvCall> kAttentionOfQkvInvariant[] = {
    {"paged_attention_ordered_qkv", ordered_of_qkv_fits, run_ordered_of_qkv},
    {kComposition, fits_always<AttentionOfQkvCall>, nullptr},
};

constexpr Variant<QkvPrologueCall> kPrepareQkv[] = {
    {"qkv_prologue_prompt", [](const QkvPrologueCall& c) { return qkv_prologue_prompt_fits(c.entry); },
     [](const QkvPrologueCall& c) { qkv_prologue_prompt(c.entry, c.stream); }},
    {"qkv_prologue", qkv_prologue_fits, run_qkv_prologue},
    {kComposition, fits_always<QkvPrologueCall>, nullptr},
};
constexpr Variant<QkvPrologueCall> kPrepareQkvInvariant[] = {
    {"qkv_prologue", qkv_prologue_fits, run_qkv_prologue},
    {kComposition, fits_always<QkvPrologueCall>, nullptr},
};

bool prologue_fits(const LatentPrologueCall& c) {
  const LatentParams& p = c.prologue.params;
  return p.kv_lora <= kMlaLatentMax && p.rope.dims <= kMlaRotatedMax && p.kv_norm != nullptr;
}

void run_mla_prologue_gemm(const LatentPrologueCall& c) {
  mla_prologue_gemm(c.prologue, c.key_up, c.n_multiprocessors, c.stream);
}
void run_mla_prologue(const LatentPrologueCall& c) {
  const HeadGemm& g = c.key_up;
  c.linear->run({g.x, g.y, g.w, {}, g.x_group_stride, g.y_group_stride});
  mla_prologue(c.prologue, c.stream);
}

constexpr Variant<LatentPrologueCall> kPrepareLatent[] = {
    {"mla_prologue_gemm", [](const LatentPrologueCall& c) { return prologue_fits(c) && mla_head_gemm_fits(c.key_up); },
     run_mla_prologue_gemm},
    {"mla_prologue", prologue_fits, run_mla_prologue},
    {kComposition, fits_always<LatentPrologueCall>, nullptr},
};
constexpr Variant<LatentPrologueCall> kPrepareLatentInvariant[] = {
    {"mla_prologue_gemm", [](const LatentPrologueCall& c) { return prologue_fits(c) && mla_head_gemm_takes(c.key_up); },
     run_mla_prologue_gemm},
    {"mla_prologue", prologue_fits, run_mla_prologue},
    {kComposition, fits_always<LatentPrologueCall>, nullptr},
};

template <class Call>
std::span<const Variant<Call>> pick(bool batch_invariant, std::span<const Variant<Call>> invariant,
                                    std::span<const Variant<Call>> fastest) {
  return batch_invariant ? invariant : fastest;
}

}  // namespace

AttentionFamilies::AttentionFamilies(bool batch_invariant)
    : attention("attention", pick<AttentionCall>(batch_invariant, kAttentionInvariant, kAttention)),
      attention_of_qkv("attention_of_qkv",
                       pick<AttentionOfQkvCall>(batch_invariant, kAttentionOfQkvInvariant, kAttentionOfQkv)),
      prepare_qkv("prepare_qkv", pick<QkvPrologueCall>(batch_invariant, kPrepareQkvInvariant, kPrepareQkv)),
      prepare_latent("prepare_latent",
                     pick<LatentPrologueCall>(batch_invariant, kPrepareLatentInvariant, kPrepareLatent)) {}

absl::Status check_ordered(int64_t rows) {
  constexpr int64_t kRowsMax = 65535;  // as in_tiles() asks
  if (rows <= kRowsMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--batch-invariant takes steps of at most ", kRowsMax,
                   " tokens and sequences together: lower --max-num-batched-tokens or --max-num-seqs"));
}

}  // namespace polymath::backend::cuda
