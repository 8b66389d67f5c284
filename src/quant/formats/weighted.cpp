// Every weighted packer.

#include "quant/weighted.h"

#include <string_view>

#include "quant/formats/blocks.h"

namespace polymath::quant {

namespace {

struct Row {
  std::string_view format;
  WeightedPacker pack;
};
constexpr Row kRows[] = {
    {"q4_k", pack_q4_k}, {"q5_k", pack_q5_k}, {"q6_k", pack_q6_k}, {"q4_0", pack_q4_0}, {"q5_0", pack_q5_0}};

}  // namespace

WeightedPacker find_weighted_packer(const QuantFormat& format) {
  for (const Row& row : kRows) {
    if (row.format == format.name) return row.pack;
  }
  return nullptr;
}

}  // namespace polymath::quant
