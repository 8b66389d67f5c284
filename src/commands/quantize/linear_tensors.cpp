#include "commands/quantize/linear_tensors.h"

#include <map>
#include <string>

#include "model/loading/load.h"
#include "model/loading/weight_table.h"
#include "model/slots.h"

namespace polymath::commands {
namespace {

bool is_linear(const model::Slot& slot) {
  using quant::WeightUse;
  const bool multiplied =
      slot.use == WeightUse::kLinear || slot.use == WeightUse::kExperts || slot.use == WeightUse::kHeads;
  return multiplied && slot.layer >= 0;  // the head is of no layer
}

}  // namespace

absl::StatusOr<std::vector<PlainMatrix>> linear_tensors(const weights::ModelFiles& files,
                                                        weights::Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(files));
  RETURN_IF_ERROR(model::untie_stored_head(checkpoint, config));
  const model::WeightTable table(config, checkpoint);
  std::map<std::string, PlainMatrix, std::less<>> found;  // by tensor
  for (const model::Slot& slot : model::slots(config)) {
    if (!is_linear(slot)) continue;
    const bool heads = slot.use == quant::WeightUse::kHeads;  // parts of one matrix, read by rows and by columns
    for (const model::PieceSource& piece : table.pieces(slot)) {
      PlainMatrix& matrix = found[piece.tensor];
      matrix.heads |= heads;
      matrix.transposed |= piece.view.col_stride != 1 && !heads;
    }
  }
  std::vector<PlainMatrix> out;
  for (const weights::TensorInfo& info : checkpoint.tensors()) {
    const auto at = found.find(info.name);
    if (at == found.end() || info.shape.rank() < 2 || info.shape.elements() == 0) continue;
    out.push_back(at->second);
    out.back().name = info.name;
    out.back().shape = info.shape;
  }
  return out;
}

}  // namespace polymath::commands
