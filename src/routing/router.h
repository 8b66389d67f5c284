#pragma once

// Routing: which experts a token visits, and their weights. Pure functions of numbers.
//
//   logits  [n_tokens, n_experts] f32
//     -> expert_ids      [n_tokens, top_k] i32   distinct within a row
//     -> expert_weights  [n_tokens, top_k] f32
//
// A token-wise algorithm is one HOST_DEVICE function over one token's row. All backends compile the same source.
// Among equal scores the lowest expert id wins. A row with a NaN, or with nothing finite, gives ids 0..top_k-1 with
// NaN weights. The NaN reaches the logits, and the request fails.
//
// Algorithms over a whole batch (expert choice, soft MoE, capacity) are in routing/batch.h.

#include <cstdint>
#include <span>
#include <string_view>

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

// A local array of a routing function: on the CPU's stack, in CUDA's shared memory. There one thread of a block routes
// a row; local memory would be reserved for every thread of the GPU.
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
  int top_groups = 1;        // groups whose experts a token may visit
  bool normalize = false;    // selected weights are divided by their sum
  float normalize_min = 0;   // the sum is not taken below this (ERNIE-4.5: moe_norm_min)
  float normalize_eps = 0;   // added to the sum (DeepSeek-V3: 1e-20)
  float weight_scale = 1;    // "routed_scaling_factor" in DeepSeek configs
  float jitter_eps = 0.01f;  // sparsemixer's threshold (Phi-MoE: router_jitter_noise)
  uint32_t hash_seed = 0;    // of hash routing
};

// `bias` [n_experts] affects which experts are selected, not their weights; null: no bias.
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
