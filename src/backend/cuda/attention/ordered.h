#pragma once

// Attention in one order of sums, for prompts and decode alike. A query's output depends on that query and its keys
// alone.

#include "backend/cuda/attention/attention.h"

namespace polymath::backend::cuda {

// On tensor cores. Fits where paged_attention_mma does.
void paged_attention_ordered(const AttentionProblem& problem, cudaStream_t stream);
// Fits where mla_fits, without windows and chunks.
bool mla_ordered_fits(const AttentionProblem& problem);
void mla_ordered(const AttentionProblem& problem, cudaStream_t stream);
// Any problem that check_kv takes, in f32.
void paged_attention_f32_ordered(const AttentionProblem& problem, cudaStream_t stream);

// As mla_head_gemm_fits, for any number of rows. A row's sums do not depend on the other rows.
bool mla_head_gemm_takes(const HeadGemm& gemm);

}  // namespace polymath::backend::cuda
