#include "model/loading/weight_table.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "model/loading/gguf_rows.h"

namespace polymath::model {
namespace {

// How the architectures' tables begin the names of a decoder. lm_head is beside the decoder.
constexpr std::string_view kBases[] = {"model.", "transformer."};

// Where a wrapper's checkpoint has the decoder, best first. {b}: the table's base.
// Sources: transformers 4 and 5 (multimodal classes, and base models saved alone), DeepSeek-VL2, Ovis, Qwen-Omni.
constexpr std::string_view kPrefixes[] = {
    "{b}",
    "model.language_model.",
    "language_model.{b}",
    "language_model.",
    "model.language_model.{b}",
    "thinker.{b}",
    "thinker.model.language_model.",
    "language.{b}",
    "llm.{b}",
    "model.llm.",
    "text_model.{b}",
    "text_model.",
    "model.text_model.",
    "module.{b}",
    "_orig_mod.{b}",
    "",
};

std::string_view base_of(std::string_view name) {
  for (const std::string_view base : kBases) {
    if (name.starts_with(base)) return base;
  }
  return {};
}

std::string prefix_for(std::string_view pattern, std::string_view base) {
  return absl::StrReplaceAll(std::string(pattern), {{"{b}", std::string(base)}});
}

std::string with_prefix(const std::string& name, std::string_view prefix) {
  return absl::StrCat(std::string(prefix), name.substr(base_of(name).size()));
}

// "layer.3.qkv" -> "layer.{l}.qkv".
std::string pattern_of(const Slot& slot) {
  if (slot.layer < 0) return slot.name;
  return absl::StrReplaceAll(slot.name, {{absl::StrCat("layer.", slot.layer, "."), "layer.{l}."}});
}

std::vector<WeightRow> table_of(const ModelConfig& config, const weights::Checkpoint& checkpoint) {
  if (checkpoint.naming() == weights::Naming::kGguf) return gguf_rows(config.architecture);
  const Architecture* architecture = find_architecture(config.architecture);
  CHECK(architecture != nullptr);
  std::vector<WeightRow> rows = architecture->weights(config);
  if (!config.tied_embeddings) return rows;
  // One matrix for both: a file may have it under either name.
  const auto head = std::find_if(rows.begin(), rows.end(), [](const WeightRow& r) { return r.slot == "lm_head"; });
  if (head != rows.end()) rows.push_back({"embed", head->names, head->layout});
  return rows;
}

// Rows of the table whose first tensor is there, in layer 0.
size_t count_found(const weights::Checkpoint& checkpoint, const std::vector<WeightRow>& rows, std::string_view prefix) {
  return static_cast<size_t>(std::count_if(rows.begin(), rows.end(), [&](const WeightRow& row) {
    if (base_of(row.names[0]).empty()) return false;
    const std::string name = absl::StrReplaceAll(with_prefix(row.names[0], prefix), {{"{l}", "0"}, {"{e}", "0"}});
    return checkpoint.has(name);
  }));
}

// "model.language_model." -> "", "model.", "model.language_model.": where lm_head may be.
std::vector<std::string> enclosing(std::string_view prefix) {
  std::vector<std::string> out = {""};
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (prefix[i] == '.') out.emplace_back(prefix.substr(0, i + 1));
  }
  return out;
}

}  // namespace

const WeightRow& first_row(const std::vector<WeightRow>& rows, const Slot& slot) {
  const std::string pattern = pattern_of(slot);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const WeightRow& r) { return r.slot == pattern; });
  CHECK(row != rows.end());  // an architecture whose table lacks a slot of its own config
  return *row;
}

WeightTable::WeightTable(const ModelConfig& config, const weights::Checkpoint& checkpoint)
    : checkpoint_(checkpoint), rows_(table_of(config, checkpoint)) {
  if (checkpoint.tensors().empty()) return;
  find_prefix();
  const std::vector<Slot> all = slots(config);
  drop_layout(all, Layout::kStacked, Layout::kStackedT);
  drop_layout(all, Layout::kStackedT, Layout::kStacked);
}

// A square gate_up fits both layouts; the down beside it does not.
void WeightTable::drop_layout(const std::vector<Slot>& slots, Layout layout, Layout other) {
  bool misfits = false, other_misfits = false;
  for (const Slot& slot : slots) {
    if (!slot.experts || slot.is_vector()) continue;
    for (const WeightRow* row : rows_of(slot)) {
      const bool other_shape = fit_of(slot, *row) == Fit::kOtherShape;
      if (row->layout == layout) misfits = misfits || other_shape;
      if (row->layout == other) other_misfits = other_misfits || other_shape;
    }
  }
  if (!misfits || other_misfits) return;
  const std::vector<WeightRow> all = rows_;
  std::erase_if(rows_, [&](const WeightRow& row) {
    return row.layout == layout && std::any_of(all.begin(), all.end(), [&](const WeightRow& r) {
             return r.layout == other && r.slot == row.slot && r.names == row.names;
           });
  });
}

void WeightTable::find_prefix() {
  std::string_view base;
  for (const WeightRow& row : rows_) {
    if (base.empty()) base = base_of(row.names[0]);
  }
  if (base.empty()) return;  // names without a base: GGUF's
  prefix_ = std::string(base);
  size_t most = 0;
  for (const std::string_view pattern : kPrefixes) {
    const std::string prefix = prefix_for(pattern, base);
    const size_t found = count_found(checkpoint_, rows_, prefix);
    if (found <= most) continue;
    most = found;
    prefix_ = prefix;
  }
  for (WeightRow& row : rows_) {
    for (std::string& name : row.names) {
      if (!base_of(name).empty()) {
        name = with_prefix(name, prefix_);
        continue;
      }
      for (const std::string& outer : enclosing(prefix_)) {
        if (!checkpoint_.has(outer + name)) continue;
        name = outer + name;
        break;
      }
    }
  }
}

WeightTable::Fit WeightTable::fit_of(const Slot& slot, const WeightRow& row) const {
  Fit fit = Fit::kFits;
  for (const NamedShape& wanted : first_tensors(slot, row)) {
    const weights::TensorInfo* stored = weights::find_tensor(checkpoint_, wanted.name);
    if (stored == nullptr) return Fit::kAbsent;
    if (!(stored->shape == wanted.shape)) fit = Fit::kOtherShape;
  }
  return fit;
}

std::vector<const WeightRow*> WeightTable::rows_of(const Slot& slot) const {
  const std::string pattern = pattern_of(slot);
  std::vector<const WeightRow*> rows;
  for (const WeightRow& row : rows_) {
    if (row.slot == pattern) rows.push_back(&row);
  }
  CHECK(!rows.empty());  // an architecture whose table lacks a slot of its own config
  return rows;
}

const WeightRow& WeightTable::chosen_row(const Slot& slot) const {
  const std::vector<const WeightRow*> rows = rows_of(slot);
  if (rows.size() == 1 || checkpoint_.tensors().empty()) return *rows[0];
  return **std::max_element(rows.begin(), rows.end(), [&](const WeightRow* a, const WeightRow* b) {
    return fit_of(slot, *a) < fit_of(slot, *b);
  });
}

std::string WeightTable::not_found(const Slot& slot) const {
  if (fit_of(slot, chosen_row(slot)) != Fit::kAbsent) return "";
  std::vector<std::string> names;
  for (const WeightRow* row : rows_of(slot)) {
    const std::vector<NamedShape> tensors = first_tensors(slot, *row);
    // The one that lacks, where its neighbours are there.
    const auto absent = std::find_if(tensors.begin(), tensors.end(), [&](const NamedShape& t) {
      return weights::find_tensor(checkpoint_, t.name) == nullptr;
    });
    CHECK(absent != tensors.end());
    if (std::find(names.begin(), names.end(), absent->name) == names.end()) names.push_back(absent->name);
  }
  return absl::StrJoin(names, " or ");
}

}  // namespace polymath::model
