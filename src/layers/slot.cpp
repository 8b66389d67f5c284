#include "layers/slot.h"

#include <utility>

namespace polymath::layers {
namespace {

int64_t sum_of_rows(const std::vector<Piece>& pieces) {
  int64_t rows = 0;
  for (const Piece& p : pieces) rows += p.rows;
  return rows;
}

}  // namespace

LocalSlot local_slot(const Slot& slot, parallel::Rank rank) {
  const bool whole = slot.experts && rank.whole_experts;  // no axis but the experts is split
  const parallel::Rank of_axes = whole ? parallel::Rank{} : rank.of_layers();
  LocalSlot local;
  local.shape = slot.shape;
  local.shape.rows = 0;
  for (const Piece& p : slot.pieces) {
    local.pieces.push_back(parallel::slice_of(p.rows, p.shard, of_axes));
    local.shape.rows += local.pieces.back().count;
  }
  local.cols = parallel::slice_of(slot.shape.cols, slot.cols, of_axes);
  local.groups = whole ? parallel::slice_of(slot.shape.groups + rank.redundant_experts, {1}, rank)
                       : parallel::slice_of(slot.shape.groups, slot.groups, rank.of_layers());
  local.shape.cols = local.cols.count;
  local.shape.groups = local.groups.count;
  return local;
}

void SlotList::matrix(MatrixSlot m) {
  const quant::WeightShape shape{m.groups, sum_of_rows(m.pieces), m.cols, m.glu};
  list.push_back({.name = prefix + m.name,
                  .layer = layer,
                  .shape = shape,
                  .pieces = std::move(m.pieces),
                  .use = m.use,
                  .cols = m.cols_shard,
                  .groups = m.groups_shard,
                  .stored = m.stored});
}

void SlotList::vector(std::string name, std::vector<Piece> pieces, int64_t groups, StoredPart stored) {
  const quant::WeightShape shape{groups, sum_of_rows(pieces), 1, false};
  list.push_back({.name = prefix + name,
                  .layer = layer,
                  .shape = shape,
                  .pieces = std::move(pieces),
                  .use = quant::WeightUse::kVector,
                  .stored = stored});
}

}  // namespace polymath::layers
