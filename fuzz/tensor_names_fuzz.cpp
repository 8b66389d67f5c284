// Fuzzes the fitting of a weight table to a checkpoint's names: prefixes, alternative rows, kinds of surplus tensors.

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>

#include "base/check.h"
#include "model/loading/load.h"
#include "model/loading/surplus.h"
#include "model/loading/weight_table.h"
#include "model/slots.h"

namespace {

using namespace polymath;

model::ModelConfig config() {
  const auto json = base::parse_json(
      R"({"architectures": ["PolymathMoeForCausalLM"], "hidden_size": 4, "vocab_size": 4, "num_hidden_layers": 2,
          "num_attention_heads": 1, "moe_intermediate_size": 2, "shared_intermediate_size": 2,
          "tie_word_embeddings": true, "routing": {"n_experts": 2, "name": "softmax_topk", "top_k": 1}})",
      {});
  const auto config = model::parse_config(*json);
  CHECK(config.ok());
  return *config;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const model::ModelConfig kConfig = config();
  const auto checkpoint = weights::parse_safetensors(std::as_bytes(std::span(data, size)), {});
  if (!checkpoint.ok()) return 0;
  const model::WeightTable table(kConfig, **checkpoint);
  std::set<std::string> wanted;
  for (const model::Slot& slot : model::slots(kConfig)) {
    const auto pieces = table.pieces(slot);
    CHECK(!pieces.empty());
    // Named in vain, or the first group's tensors are there.
    const bool found = (*checkpoint)->has(pieces[0].tensor) && (*checkpoint)->has(pieces.back().tensor);
    CHECK(!found || table.not_found(slot).empty() || slot.shape.groups > 1 || slot.pieces.size() > 2);
    for (const auto& piece : pieces) wanted.insert(piece.tensor);
  }
  std::vector<std::string> unused;
  for (const auto& info : (*checkpoint)->tensors()) {
    if (!wanted.contains(info.name)) unused.push_back(info.name);
  }
  const model::Surplus surplus = model::sort_surplus(unused, table.prefix(), kConfig);
  CHECK(surplus.unknown.size() + surplus.harmful.size() <= unused.size());
  return 0;
}
