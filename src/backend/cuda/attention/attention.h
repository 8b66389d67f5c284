#pragma once

// Entries of the attention kernels, and of what prepares queries, keys and values for them.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// How elements are kept in a byte each, as backend/kv_packing.h has it. An int8 code is a sign and a magnitude.
enum class KvCode : int { kNone, kE4M3, kE5M2, kInt8 };

// Neighbouring tokens of a packed head: their codes, then their f32 scales. Pages of 8 tokens are multiples of 16 bytes
// where a head has a multiple of 16 elements.
HOST_DEVICE constexpr int page_tokens(int block_size) {
  const int power = block_size & -block_size;
  return power < 8 ? power : 8;
}
HOST_DEVICE constexpr int page_bytes(int tokens, int dim) { return (tokens * dim + 3) / 4 * 4 + tokens * 4; }

// A block of the cache holds, for each kv head, its keys [block_size][key_dim]; then, for each head, its values. A
// packed head's keys, or values, are pages.
struct Kv {
  void* data = nullptr;
  int n_kv_heads = 0, key_dim = 0, value_dim = 0, block_size = 0;
  bool latent = false;
  Type type = Type::kF32;  // packed: kBf16, what the codes are unpacked to
  KvCode code = KvCode::kNone;
  int64_t n_blocks = 0;

  HOST_DEVICE bool packed() const { return code != KvCode::kNone; }
};
// Of one block of one layer.
inline int64_t kv_block_bytes(const Kv& kv) {
  if (!kv.packed()) {
    return type_bytes(kv.type) * kv.block_size * kv.n_kv_heads * (kv.key_dim + (kv.latent ? 0 : kv.value_dim));
  }
  const int tokens = page_tokens(kv.block_size);
  const int64_t pages = int64_t{kv.block_size / tokens} * kv.n_kv_heads;
  return pages * (page_bytes(tokens, kv.key_dim) + (kv.latent ? 0 : page_bytes(tokens, kv.value_dim)));
}
void kv_write(const Kv& kv, const Matrix& k, const Matrix& v, const int32_t* slots, cudaStream_t stream);

constexpr int kKeyDimMax = 640;    // more: refused by check_kv (a run's keys are in shared memory)
constexpr int kValueDimMax = 512;  // more: refused by check_kv (the sums are in registers)
struct AttentionProblem {
  AttentionParams params;
  Matrix q, out;
  Kv kv;
  int n_tokens = 0, n_seqs = 0;  // every sequence has a query
  int keys_most = 0;             // upper bound of kv_len; 0: unknown
  const int32_t *positions = nullptr, *query_start = nullptr;
  const int32_t* kv_len = nullptr;  // null: from positions; 0: a padding row, its output is zeros
  const int32_t* block_table = nullptr;
  int64_t table_cols = 0;
  const int32_t* table_stride = nullptr;  // device memory; null: table_cols
  // Of a cache that unpack_cache() fills; else null. A sequence's blocks lie side by side: its block i is number
  // first_blocks[seq] + i.
  const int32_t* first_blocks = nullptr;
  float* partial = nullptr;  // scratch of split-KV partial sums
  int64_t partial_floats = 0;
  unsigned* counters = nullptr;  // zeros before and after; too few: the tensor-core kernels split no keys
  int64_t n_counters = 0;
  int n_multiprocessors = 0;
};

// Any problem that check_kv takes, in f32.
void paged_attention_f32(const AttentionProblem& problem, cudaStream_t stream);

// Tensor cores; queries and probabilities are rounded to bf16. Fits a bf16 cache, not latent, in blocks of a multiple
// of 8 tokens. Keys and values have 64, 96, 128 or 256 elements. Rows of queries are 16-byte words, of outputs pairs,
// f32 or bf16.
bool paged_attention_mma_fits(const AttentionProblem& problem);
void paged_attention_mma(const AttentionProblem& problem, cudaStream_t stream);
// Of its sequences those of at most `most` queries. REQUIRES: it fits.
void paged_attention_narrow(const AttentionProblem& problem, int most, cudaStream_t stream);
// The same on wgmma and TMA, without split keys. Fits heads of 64 or 128 elements and steps with enough prompt tokens
// to fill the GPU. Rows of outputs are 16-byte words.
bool paged_attention_wgmma_fits(const AttentionProblem& problem);
void paged_attention_wgmma(const AttentionProblem& problem, cudaStream_t stream);
// The same where every sequence has one query.
bool paged_attention_decode_fits(const AttentionProblem& problem);
void paged_attention_decode(const AttentionProblem& problem, cudaStream_t stream);

// Tensor cores over a latent bf16 cache of DeepSeek's shape: keys of 576 elements, values of 512, no sinks.
bool mla_fits(const AttentionProblem& problem);
void mla_decode(const AttentionProblem& problem, cudaStream_t stream);  // every sequence has one query
void mla_prefill(const AttentionProblem& problem, cudaStream_t stream);
// Of its sequences those of at most `most` queries. REQUIRES: it fits.
void mla_narrow(const AttentionProblem& problem, int most, cudaStream_t stream);
// Prompts on wgmma and TMA, without split keys. Fits steps with enough prompt tokens to fill the GPU. Rows of outputs
// are 16-byte words.
bool mla_prefill_wgmma_fits(const AttentionProblem& problem);
void mla_prefill_wgmma(const AttentionProblem& problem, cudaStream_t stream);

// Norm, rotation and factors of q in place; keys and values into the cache.
constexpr int kQkvHeadMax = 256;
struct QkvPrologue {
  QkvParams params;  // norm: per head or none; head_dim at most kQkvHeadMax
  Matrix qkv;        // f32
  const int32_t *positions = nullptr, *slots = nullptr;
  Kv kv;  // not latent
};
void qkv_prologue(const QkvPrologue& problem, cudaStream_t stream);
// The same for 256 tokens and more. Fits a bf16 cache and heads of 64 or 128 elements that rotate whole or not at all.
bool qkv_prologue_prompt_fits(const QkvPrologue& problem);
void qkv_prologue_prompt(const QkvPrologue& problem, cudaStream_t stream);

// paged_attention_decode with the prologue in its launch. Fits heads of 64 or 128 elements that rotate as a whole, at
// most 8 a kv head. `qkv` is not written.
struct AttentionOfQkv {
  AttentionProblem attention;
  QkvPrologue qkv;
};
bool paged_attention_decode_qkv_fits(const AttentionOfQkv& problem);
void paged_attention_decode_qkv(const AttentionOfQkv& problem, cudaStream_t stream);

// A GEMM a head, few rows: y[:, g * y_group_stride ..] = x[:, g * x_group_stride ..] w[g]^T.
struct HeadGemm {
  Matrix x, y;  // x: f32 or bf16
  WeightMatrix w;
  int64_t x_group_stride = 0, y_group_stride = 0;
};
// At most 128 rows, bf16 weights of at most 512 inputs a group, x in 16-byte words.
bool mla_head_gemm_fits(const HeadGemm& gemm);
void mla_head_gemm(const HeadGemm& gemm, int n_multiprocessors, cudaStream_t stream);

// What comes before MLA's attention, but for the GEMM with key_up: rotation, the latent norm, the cache write.
constexpr int kMlaLatentMax = 512, kMlaRotatedMax = 128;  // elements of a key
struct MlaPrologue {
  LatentParams params;  // kv_lora at most kMlaLatentMax, rope.dims at most kMlaRotatedMax
  Matrix q, k, q_full;  // f32
  const int32_t *positions = nullptr, *slots = nullptr;
  Kv kv;  // latent
};
void mla_prologue(const MlaPrologue& problem, cudaStream_t stream);
// That and the GEMM in one launch. REQUIRES: mla_head_gemm_fits(key_up), rows > 0.
void mla_prologue_gemm(const MlaPrologue& problem, const HeadGemm& key_up, int n_multiprocessors, cudaStream_t stream);

}  // namespace polymath::backend::cuda
