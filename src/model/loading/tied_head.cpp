// Whether a checkpoint's output head is its embedding, as the config says.

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "model/loading/load.h"
#include "model/loading/weight_table.h"
#include "model/slots.h"

namespace polymath::model {
namespace {

// REQUIRES: the config has the slot.
PieceSource source_of(const ModelConfig& config, const WeightTable& table, std::string_view name) {
  const std::vector<Slot> all = slots(config);
  const auto slot = std::find_if(all.begin(), all.end(), [&](const Slot& s) { return s.name == name; });
  CHECK(slot != all.end());
  return table.pieces(*slot).at(0);
}

absl::StatusOr<bool> same_bytes(weights::Checkpoint& checkpoint, const PieceSource& a, const PieceSource& b) {
  const weights::TensorInfo *info_a = weights::find_tensor(checkpoint, a.tensor),
                            *info_b = weights::find_tensor(checkpoint, b.tensor);
  if (info_a->format == nullptr || info_a->format != info_b->format) return false;
  if (!(info_a->shape == info_b->shape)) return false;
  ASSIGN_OR_RETURN(const weights::RawTensor raw_a, checkpoint.read(a.tensor, a.expected));
  ASSIGN_OR_RETURN(const weights::RawTensor raw_b, checkpoint.read(b.tensor, b.expected));
  const auto bytes = static_cast<size_t>(info_a->format->bytes_of(info_a->shape.elements()));
  const bool same = std::memcmp(raw_a.data, raw_b.data, bytes) == 0;
  checkpoint.release(a.tensor);
  checkpoint.release(b.tensor);
  return same;
}

}  // namespace

absl::Status untie_stored_head(weights::Checkpoint& checkpoint, ModelConfig& config) {
  if (!config.tied_embeddings) return absl::OkStatus();
  ModelConfig untied = config;
  untied.tied_embeddings = false;
  const WeightTable table(untied, checkpoint);
  const PieceSource embed = source_of(untied, table, "embed"), head = source_of(untied, table, "lm_head");
  for (const PieceSource* source : {&embed, &head}) {
    if (weights::find_tensor(checkpoint, source->tensor) == nullptr) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const bool same, same_bytes(checkpoint, embed, head));
  if (same) return absl::OkStatus();
  base::log_warning("model", "tie_word_embeddings is set, but ", head.tensor, " is stored and differs from ",
                    embed.tensor, ": the stored one is used");
  config = std::move(untied);
  return absl::OkStatus();
}

}  // namespace polymath::model
