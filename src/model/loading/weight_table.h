#pragma once

// Which tensors of a checkpoint fill which slots: an architecture's table, fitted to the names that the file has.
//
//   WeightTable table(config, checkpoint);
//   for (const Slot& slot : slots(config)) use(table.pieces(slot, rank));
//
// Models inside a wrapper have their tensors under another prefix, "language_model.model." say. The prefix that finds
// most of the table is taken for all of it. Of a slot's rows, the first whose tensors are there, with the slot's shape,
// is taken. Where none has the shape, the names alone decide. Stacked experts have one layout: that of all their
// tensors. A checkpoint that makes tensors (dummy) gets the table as it is written.
//
// Thread safety: const methods may run at once.

#include <string>
#include <vector>

#include "model/loading/weight_source.h"
#include "weights/checkpoint.h"

namespace polymath::model {

class WeightTable {
 public:
  // `config`: of the whole model. `checkpoint` must outlive the table.
  WeightTable(const ModelConfig& config, const weights::Checkpoint& checkpoint);

  std::vector<PieceSource> pieces(const Slot& slot, parallel::Rank rank = {}) const {
    return piece_sources(slot, chosen_row(slot), rank);
  }
  // The names that were looked for in vain: "a.weight or b.weight". Empty: the slot's tensors are there.
  std::string not_found(const Slot& slot) const;

  // What stands in the checkpoint's names before "layers.": "model.", or "model.language_model.".
  const std::string& prefix() const { return prefix_; }

 private:
  enum class Fit { kAbsent, kOtherShape, kFits };

  Fit fit_of(const Slot& slot, const WeightRow& row) const;
  const WeightRow& chosen_row(const Slot& slot) const;
  std::vector<const WeightRow*> rows_of(const Slot& slot) const;
  void find_prefix();
  void drop_layout(const std::vector<Slot>& slots, Layout layout, Layout other);

  const weights::Checkpoint& checkpoint_;
  std::vector<WeightRow> rows_;
  std::string prefix_;
};

// The table's own row for a slot, whatever a checkpoint has. REQUIRES: the table has one.
const WeightRow& first_row(const std::vector<WeightRow>& rows, const Slot& slot);

}  // namespace polymath::model
