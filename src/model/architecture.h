#pragma once

// An architecture is a parser of its config.json and a table of its weights.
//
//   extern const Architecture kQwen3Moe{{"Qwen3MoeForCausalLM"}, parse, weights};
//
// For each slot, the weight table names the tensors that fill it, and their layout. The ModelConfig decides which slots
// a layer has, and their shapes (model/slots.h). Rows without a slot are skipped, so one table serves dense and MoE
// layers. A slot may have several rows, best first: the checkpoint decides (model/loading/weight_table.h).

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/config.h"
#include "model/config_keys.h"

namespace polymath::model {

// How the named tensors hold a slot's matrix [groups][rows][cols].
enum class Layout {
  kRows,           // one tensor a piece and a group: [rows, cols]; or all pieces in one: [sum of rows, cols]
  kStacked,        // [groups, rows, cols]; or a tensor a piece, each [groups, rows of the piece, cols] (GGUF)
  kStackedT,       // [groups, cols, rows]
  kStackedTPairs,  // [groups, cols, rows], gate and up alternate (gpt-oss)
  kStackedPairs,   // [groups, rows, cols], or [groups, rows] of a bias: gate and up alternate (gpt-oss)
  kFlat,           // [groups * rows, cols], a tensor a piece (DBRX); or the slot's rows of StoredPart::group_rows
  kFlatT,          // [groups * cols, rows] (DBRX); or the slot's columns of StoredPart::group_rows
  kOneRow,         // a vector kept as [1, rows] (ERNIE)
  kDepthwise,      // a vector kept as [rows / taps, 1, taps], with StoredPart::taps
  kCount,
};

struct WeightRow {
  std::string_view slot;           // "layer.{l}.qkv"; see model/slots.h
  std::vector<std::string> names;  // of the tensors; {l}: the layer, {e}: the expert
  Layout layout = Layout::kRows;
  float offset = 0;  // added to each element of a vector: norms stored as their difference from 1
  // Row 2i + h of a head is row i of its half h, in pieces with head_rows (GGUF).
  bool paired_heads = false;
};

struct Architecture {
  std::vector<std::string_view> names;  // as `architectures` in config.json spells it
  // Reads config.json; complaints go to the reader.
  ModelConfig (*parse)(base::JsonReader& j);
  std::vector<WeightRow> (*weights)(const ModelConfig& config);
  ConfigKeys keys = {};
};

std::span<const Architecture* const> architectures();
const Architecture* find_architecture(std::string_view name);  // null: not known
// Of a known family that lacks one block here: its name, "the Mamba-2 layer". Empty: the family is not known.
std::string_view missing_block(std::string_view architecture);
const Architecture* find_model_type(std::string_view model_type);  // null: not known

}  // namespace polymath::model
