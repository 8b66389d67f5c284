#include "commands/quantize/gguf_plan.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"

namespace polymath::commands {
namespace {

using weights::GgmlType;

constexpr PackTarget kTargets[] = {{"q8_0", 7},  {"q6_k", 18}, {"q5_k", 16}, {"q5_0", 8},
                                   {"q4_k", 14}, {"q4_0", 2},  {"mxfp4", 38}};

double bits(const GgmlType& type) { return 8.0 * type.block_bytes / type.block_values; }

bool is_head(std::string_view name) { return name == "output.weight" || name == "token_embd.weight"; }

bool is_matrix(const weights::GgufTensor& t) {
  if (t.shape.rank() < 2 || t.type->format.empty() || !absl::EndsWith(t.name, ".weight")) return false;
  if (absl::StrContains(t.name, "norm") || absl::StrContains(t.name, "ffn_gate_inp")) return false;
  return is_head(t.name) || absl::StrContains(t.name, ".attn_") || absl::StrContains(t.name, ".ffn_");
}

}  // namespace

std::span<const PackTarget> pack_targets() { return kTargets; }

const PackTarget* find_pack_target(std::string_view format) {
  const auto* at = std::find_if(std::begin(kTargets), std::end(kTargets),
                                [&](const PackTarget& target) { return target.format == format; });
  return at == std::end(kTargets) ? nullptr : at;
}

std::vector<const GgmlType*> packed_types(const weights::GgufHeader& header, const PackTarget& target) {
  const GgmlType *packed = weights::ggml_type_of_format(target.format), *six = weights::ggml_type_of_format("q6_k"),
                 *eight = weights::ggml_type_of_format("q8_0");
  std::vector<const GgmlType*> out;
  for (const weights::GgufTensor& t : header.tensors) {
    out.push_back(t.type);
    if (!is_matrix(t)) continue;
    const int64_t cols = t.shape[t.shape.rank() - 1];
    for (const GgmlType* type : {is_head(t.name) && bits(*packed) < bits(*six) ? six : packed, eight}) {
      if (cols % type->block_values != 0) continue;
      out.back() = type;
      break;
    }
  }
  return out;
}

}  // namespace polymath::commands
