#include "backend/cuda/attention/list.h"

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

constexpr Variant<AttentionOfQkvCall> kAttentionOfQkv[] = {
    {"paged_attention_decode_qkv", [](const AttentionOfQkvCall& c) { return paged_attention_decode_qkv_fits(c.entry); },
     [](const AttentionOfQkvCall& c) { paged_attention_decode_qkv(c.entry, c.stream); }},
    {kComposition, fits_always<AttentionOfQkvCall>, nullptr},
};

constexpr Variant<QkvPrologueCall> kPrepareQkv[] = {
    {"qkv_prologue_prompt", [](const QkvPrologueCall& c) { return qkv_prologue_prompt_fits(c.entry); },
     [](const QkvPrologueCall& c) { qkv_prologue_prompt(c.entry, c.stream); }},
    {"qkv_prologue",
     [](const QkvPrologueCall& c) {
       return c.entry.params.norm != QkvNorm::kWhole && c.entry.params.head_dim <= kQkvHeadMax;
     },
     [](const QkvPrologueCall& c) { qkv_prologue(c.entry, c.stream); }},
    {kComposition, fits_always<QkvPrologueCall>, nullptr},
};

bool prologue_fits(const LatentPrologueCall& c) {
  const LatentParams& p = c.prologue.params;
  return p.kv_lora <= kMlaLatentMax && p.rope.dims <= kMlaRotatedMax && p.kv_norm != nullptr;
}

constexpr Variant<LatentPrologueCall> kPrepareLatent[] = {
    {"mla_prologue_gemm", [](const LatentPrologueCall& c) { return prologue_fits(c) && mla_head_gemm_fits(c.key_up); },
     [](const LatentPrologueCall& c) { mla_prologue_gemm(c.prologue, c.key_up, c.n_multiprocessors, c.stream); }},
    {"mla_prologue", prologue_fits,
     [](const LatentPrologueCall& c) {
       const HeadGemm& g = c.key_up;
       c.linear->run({g.x, g.y, g.w, {}, g.x_group_stride, g.y_group_stride});
       mla_prologue(c.prologue, c.stream);
     }},
    {kComposition, fits_always<LatentPrologueCall>, nullptr},
};

}  // namespace

AttentionFamilies::AttentionFamilies()
    : attention("attention", kAttention),
      attention_of_qkv("attention_of_qkv", kAttentionOfQkv),
      prepare_qkv("prepare_qkv", kPrepareQkv),
      prepare_latent("prepare_latent", kPrepareLatent) {}

}  // namespace polymath::backend::cuda
