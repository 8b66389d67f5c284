#pragma once

// Every token-wise router, in the order from the plain to the particular. Host table and device kernels are made from
// this list: a new router is its header and its row.

#include <array>

#include "routing/hash.h"
#include "routing/router.h"
#include "routing/sigmoid_group_topk.h"
#include "routing/sigmoid_topk.h"
#include "routing/softmax_bias_topk.h"
#include "routing/softmax_group_topk.h"
#include "routing/softmax_topk.h"
#include "routing/sparsemixer.h"
#include "routing/switch_top1.h"
#include "routing/topk_softmax.h"

namespace polymath::routing {

inline constexpr std::array kRouters = std::to_array<Router>({
    {"softmax_topk", "Mixtral, arXiv:2401.04088", softmax_topk},
    {"topk_softmax", "gpt-oss, arXiv:2508.10925", topk_softmax},
    {"softmax_group_topk", "DeepSeek-V2, arXiv:2405.04434", softmax_group_topk},
    {"sigmoid_group_topk", "DeepSeek-V3, arXiv:2412.19437", sigmoid_group_topk},
    {"softmax_bias_topk", "ERNIE-4.5", softmax_bias_topk},
    {"sigmoid_topk", "Llama 4", sigmoid_topk},
    {"sparsemixer", "Phi-3.5-MoE, arXiv:2409.12136", sparsemixer},
    {"switch_top1", "Switch Transformer, arXiv:2101.03961", switch_top1},
    {"hash", "Hash Layers, arXiv:2106.04426", hash},
});

}  // namespace polymath::routing
