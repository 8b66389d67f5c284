#pragma once

// GPUs and cloud instance types that a plan can be made for. A user's file may replace prices and add instances.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::plan {

struct Gpu {
  std::string_view name;     // "h100-80gb"
  std::string_view title;    // "H100 SXM 80 GB"
  int64_t memory_mib = 0;    // as a CUDA program sees it; of Trainium the data sheet's
  double read_gbs = 0;       // of memory, 10^9 bytes a second
  double bf16_tflops = 0;    // dense, 10^12 operations a second
  bool has_kernels = false;  // this engine's CUDA kernels run on it

  int64_t memory() const { return memory_mib << 20; }
};

std::span<const Gpu> known_gpus();
// By name, or the part before "-" where only one GPU has it ("h200"). Null: not known.
const Gpu* find_gpu(std::string_view name);

struct Instance {
  std::string name;  // "p5.48xlarge"
  const Gpu* gpu = nullptr;
  int n_gpus = 0;
  double dollars_an_hour = 0;  // 0: no price is known
  bool listed = true;          // false: not a list price
  std::string source;          // of the price, with what is special about it
};

struct PriceList {
  std::string dated;   // "2026-08-26"
  std::string region;  // "us-east-1, on demand"
  std::vector<Instance> instances;

  const Instance* find(std::string_view name) const;  // null: not in the list
};

constexpr size_t kPriceListBytesMax = 1 << 20;  // a longer file: kInvalidArgument
constexpr size_t kPriceListRowsMax = 4096;      // more instances: kInvalidArgument
constexpr int kGpusOfInstanceMax = 1024;        // more: kInvalidArgument

// The list that is built in: price_data.cpp.
const PriceList& built_in_prices();

// A list in the form of price_data.cpp. kInvalidArgument: the message names the member.
absl::StatusOr<PriceList> parse_prices(std::string_view text);

// `own` over `base`: rows of the same instance are replaced, others are added; date and region are those of `own`.
PriceList merge_prices(const PriceList& base, PriceList own);

}  // namespace polymath::plan
