#pragma once

// Bytes of the CUDA backend's own buffers for the largest step: predicted and allocated by one table.

#include <algorithm>

#include "backend/cuda/experts/runner.h"
#include "backend/cuda/routing/list.h"

namespace polymath::backend::cuda {

// Room for split-KV partial sums: rows of a step times splits.
inline constexpr int64_t kPartialRows = 16384;
inline constexpr int64_t kPartialBytes = int64_t{64} << 20;  // at least: a long prompt's, measured to be worth it

// A larger packed weight of a linear is unpacked in parts.
inline constexpr int64_t kUnpackedLinearBytes = int64_t{128} << 20;

// Packed experts of such rows are never unpacked.
inline bool packed_rows_fit(const ExpertShape& s) { return s.intermediate % 8 == 0 && s.hidden % 8 == 0; }

struct ScratchSizes {
  explicit ScratchSizes(const StepLimits& limits) {
    const int64_t tokens = limits.tokens_max;
    const int64_t expert_io = limits.expert_io_max > 0 ? limits.expert_io_max : limits.hidden_max;
    const auto composed = [](const ExpertShape& s) { return !ExpertRunner::takes(s.hidden, s.intermediate, s.dtype); };
    composes_experts = std::any_of(limits.experts.begin(), limits.experts.end(), composed);
    pairs = std::max<int64_t>(limits.pairs_max, tokens);
    linear_elements = std::max(tokens * (limits.hidden_max + 16), pairs * (expert_io + 16) / 2) + 16;
    unpacked = std::min(limits.packed_linear_max * 2, kUnpackedLinearBytes);
    for (const ExpertShape& s : limits.experts) {
      if (s.dtype != DType::kU8 || packed_rows_fit(s)) continue;
      unpacked = std::max(unpacked, s.groups * 2 * s.intermediate * weight_stride(s.hidden, Type::kBf16) * 2);
    }
    partial = std::max(kPartialBytes, kPartialRows * (std::max(limits.key_dim_max, 1) + 2) * 4);
    row_of_pair = pairs * 4;
    counters = (kRouteCounters + kPartialRows) * static_cast<int64_t>(sizeof(unsigned));
  }

  bool composes_experts = false;                       // some experts run on Backend's default composition
  int64_t pairs = 0, linear_elements = 0;              // (token, expert) pairs; elements of LinearRunner's input
  int64_t partial = 0, row_of_pair = 0, counters = 0;  // bytes
  int64_t unpacked = 0;                                // bytes: packed weights as bf16 ones
};

}  // namespace polymath::backend::cuda
