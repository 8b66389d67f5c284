#include "model/slots.h"

#include "absl/strings/str_cat.h"

namespace polymath::model {
namespace {

void add_norm(layers::SlotList& s, const ModelConfig& c, const std::string& name) {
  s.vector(name, {{c.hidden}});
  if (c.norm_bias) s.vector(name + "_bias", {{c.hidden}});
}

}  // namespace

std::vector<Slot> slots(const ModelConfig& c) {
  layers::SlotList s;
  const parallel::Shard vocabulary{c.vocab_unit()};
  s.matrix({.name = "embed", .pieces = {{c.vocab}}, .cols = c.hidden, .use = quant::WeightUse::kEmbedding});
  for (size_t l = 0; l < c.layers.size(); ++l) {
    s.layer = static_cast<int>(l);
    s.prefix = absl::StrCat("layer.", l, ".");
    add_norm(s, c, "attn_norm");
    layers::add_slots(c.layers[l].attention, s, c.hidden);
    if (c.post_norms) add_norm(s, c, "attn_post_norm");
    add_norm(s, c, "ffn_norm");
    for (const FfnConfig& f : c.layers[l].ffns) f.add_slots(s, c.hidden);
    if (c.post_norms) add_norm(s, c, "ffn_post_norm");
  }
  s.layer = -1;
  s.prefix = "";
  add_norm(s, c, "final_norm");
  if (!c.tied_embeddings) s.matrix({.name = "lm_head", .pieces = {{c.vocab, vocabulary}}, .cols = c.hidden});
  if (c.lm_head_bias) s.vector("lm_head_bias", {{c.vocab, vocabulary}});
  return s.list;
}

// Tied embeddings are on the first stage and on the last one.
std::vector<Slot> slots(const ModelConfig& config, const parallel::Stage& stage) {
  std::vector<Slot> list = slots(config);
  std::erase_if(list, [&](const Slot& slot) {
    if (slot.layer >= 0) return !stage.has_layer(slot.layer);
    const bool embed = slot.name == "embed";
    return !(embed && stage.first()) && !((!embed || config.tied_embeddings) && stage.last());
  });
  return list;
}

}  // namespace polymath::model
