#pragma once

// Routing: which experts see a token, and with what weight. Mathematics only.
//
//   logits  [n_tokens, n_experts] f32
//     -> expert_ids      [n_tokens, top_k] i32   distinct within a row
//     -> expert_weights  [n_tokens, top_k] f32
//
// A token-wise algorithm is ONE function over ONE token's row, marked HOST_DEVICE, so that the reference, the CPU and
// the CUDA backend are built from one source. Among equal scores the lowest expert id wins. A row with a NaN or with
// nothing finite gives ids 0..top_k-1 with NaN weights: the caller sees the NaN in the output and fails the request.
//
// Algorithms over a whole batch (expert choice, soft MoE, capacity) stand in routing/batch.h.

#include <cstdint>
#include <span>
#include <string_view>

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

// An array of a routing function's own: on the stack of a CPU thread; in the shared memory of a CUDA block, which
// routes one row with one thread (an array on a GPU thread's stack would be set aside for every thread of the card).
#if defined(__CUDA_ARCH__)
#define ROW_SCRATCH __shared__
#else
#define ROW_SCRATCH
#endif

namespace polymath::routing {

constexpr int kExpertsMax = 1024;  // more: refused when the config is read
constexpr int kTopKMax = 64;       // more: refused when the config is read

struct RouterConfig {
  int n_experts = 1;
  int top_k = 1;             // experts a token visits; 1 <= top_k <= n_experts
  int n_groups = 1;          // experts are split in this many equal groups
  int top_groups = 1;        // groups a token may choose from
  bool normalize = false;    // the chosen weights are divided by their sum
  float normalize_min = 0;   // the sum is not taken below this (ERNIE-4.5: moe_norm_min)
  float normalize_eps = 0;   // added to the sum (DeepSeek-V3: 1e-20)
  float weight_scale = 1;    // "routed_scaling_factor" in DeepSeek configs
  float jitter_eps = 0.01f;  // sparsemixer's threshold (Phi-MoE: router_jitter_noise)
  uint32_t hash_seed = 0;    // of hash routing
};

// `bias` [n_experts] moves the choice but not the weights; null: no bias.
// `token` is the token's id; only hash routing reads it.
using RouteFn = void (*)(const RouterConfig& config, const float* logits, const float* bias, int32_t token,
                         int32_t* expert_ids, float* expert_weights);

struct Router {
  std::string_view name;    // "softmax_topk", as a config of kind polymath-moe spells it
  std::string_view source;  // paper or model
  RouteFn route;
};

// Every token-wise algorithm, in the order of routing/list.h:
//   softmax_topk          softmax over all, then the top k (Mixtral, Qwen-MoE, OLMoE, DeepSeek-V2 "greedy")
//   topk_softmax          the top k, then softmax over those (gpt-oss, Granite)
//   softmax_group_topk    softmax; groups ranked by their best expert (DeepSeek-V2 "group_limited_greedy")
//   sigmoid_group_topk    sigmoid + bias; groups ranked by the sum of their two best (DeepSeek-V3, GLM-4 "noaux_tc")
//   softmax_bias_topk     softmax; chosen by score + bias, weighted by score (ERNIE-4.5)
//   sigmoid_topk          top k of the logits, weighted by their sigmoid (Llama 4)
//   sparsemixer           two masked softmaxes (Phi-MoE)
//   switch_top1           softmax, the best one, weighted by its probability (Switch Transformer)
//   hash                  by the token's id alone, weights 1/k (Hash Layers)
std::span<const Router> routers();
const Router* find_router(std::string_view name);  // null: no such algorithm

}  // namespace polymath::routing
