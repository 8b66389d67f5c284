// The routing functions of routing/<name>.h themselves, compiled for the device: a block a row, whose one thread routes
// it (ROW_SCRATCH) while the others only fetch the logits.

#include "backend/cuda/device_math.cuh"
#include "routing/hash.h"
#include "routing/sigmoid_group_topk.h"
#include "routing/sigmoid_topk.h"
#include "routing/softmax_bias_topk.h"
#include "routing/softmax_group_topk.h"
#include "routing/softmax_topk.h"
#include "routing/sparsemixer.h"
#include "routing/switch_top1.h"
#include "routing/topk_softmax.h"

namespace polymath::backend::cuda {
namespace {

enum class Kind {
  kSoftmaxTopk,
  kTopkSoftmax,
  kSoftmaxGroupTopk,
  kSigmoidGroupTopk,
  kSoftmaxBiasTopk,
  kSigmoidTopk,
  kSparsemixer,
  kSwitchTop1,
  kHash,
  kCount,
};

template <Kind kKind>
__device__ void route_row(const routing::RouterConfig& c, const float* logits, const float* bias, int32_t token,
                          int32_t* ids, float* weights) {
  if constexpr (kKind == Kind::kSoftmaxTopk) routing::softmax_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kTopkSoftmax) routing::topk_softmax(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxGroupTopk) routing::softmax_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidGroupTopk) routing::sigmoid_group_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSoftmaxBiasTopk) routing::softmax_bias_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSigmoidTopk) routing::sigmoid_topk(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSparsemixer) routing::sparsemixer(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kSwitchTop1) routing::switch_top1(c, logits, bias, token, ids, weights);
  if constexpr (kKind == Kind::kHash) routing::hash(c, logits, bias, token, ids, weights);
}

template <Kind kKind>
__global__ void route_kernel(RouteProblem p) {
  __shared__ float row[routing::kExpertsMax];
  const int64_t i = blockIdx.x;
  for (int e = threadIdx.x; e < p.config.n_experts; e += kWarp) row[e] = p.logits[i * p.stride + e];
  __syncwarp();
  if (threadIdx.x > 0) return;
  const int64_t first = i * p.config.top_k;
  route_row<kKind>(p.config, row, p.bias, p.tokens[i], p.ids + first, p.weights + first);
}

template <Kind kKind>
void launch(const RouteProblem& p, cudaStream_t stream) {
  if (p.n > 0) route_kernel<kKind><<<static_cast<unsigned>(p.n), kWarp, 0, stream>>>(p);
}

struct Row {
  const char* name;
  RouteLaunch launch;
};
// In the order of routing/list.cpp.
constexpr Row kRows[] = {
    {"softmax_topk", launch<Kind::kSoftmaxTopk>},
    {"topk_softmax", launch<Kind::kTopkSoftmax>},
    {"softmax_group_topk", launch<Kind::kSoftmaxGroupTopk>},
    {"sigmoid_group_topk", launch<Kind::kSigmoidGroupTopk>},
    {"softmax_bias_topk", launch<Kind::kSoftmaxBiasTopk>},
    {"sigmoid_topk", launch<Kind::kSigmoidTopk>},
    {"sparsemixer", launch<Kind::kSparsemixer>},
    {"switch_top1", launch<Kind::kSwitchTop1>},
    {"hash", launch<Kind::kHash>},
};

}  // namespace

RouteLaunch find_route(std::string_view name) {
  for (const Row& row : kRows) {
    if (name == row.name) return row.launch;
  }
  return nullptr;
}

}  // namespace polymath::backend::cuda
