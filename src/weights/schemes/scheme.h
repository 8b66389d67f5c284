#pragma once

// How a quantised Hugging Face checkpoint stores its weights. A scheme reads its `quantization_config` and finds the
// tensors that make one weight.
//
//   ASSIGN_OR_RETURN(const Scheme scheme, parse_scheme(quantization_config));
//   ASSIGN_OR_RETURN(auto checkpoint, open_quantized(std::move(stored), scheme));
//   checkpoint->read("model.layers.0.self_attn.q_proj.weight", {rows, cols})
//
// The tensors' types and shapes say which modules are quantised, and to how many bits. The config must agree with them.
// So modules that were left out, and bits by layer, need no rule of their own. To add a scheme: its file beside, and
// its line in list.cpp.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "weights/file_checkpoint.h"
#include "weights/schemes/grouped.h"

namespace polymath::weights {

// A weight that stored tensors make together.
struct PackedWeight {
  std::string name;  // as the plain tensor would be called
  std::string what;  // "gptq int4, groups of 128"
  tensor::Shape shape;
  GroupShape groups;
  const FileCheckpoint::Stored* main = nullptr;       // of its codes
  std::vector<const FileCheckpoint::Stored*> beside;  // scales and others, listed no more
  // Reads the scales. Shapes were checked when it was found.
  std::function<absl::StatusOr<GroupedMatrix>()> load;
};

// Finds the weights of a checkpoint. kInvalidArgument: tensors disagree with each other or with the config.
using FindWeights = std::function<absl::Status(const FileCheckpoint& stored, std::vector<PackedWeight>& out)>;

struct Scheme {
  std::string method;                // "gptq"
  std::vector<std::string> skipped;  // modules that must not be quantised, by their whole names
  FindWeights find;
};

// kUnimplemented: a method or key that is not read. kInvalidArgument: a value out of range. The message names the key.
absl::StatusOr<Scheme> parse_scheme(const base::JsonValue& quantization_config);

// The quantization_config of a config.json, also one of a wrapper's inner config; null: the model is not quantised.
const base::JsonValue* find_quantization(const base::JsonObject& config);

// The checkpoint with each quantised weight as one tensor. Errors: those of Scheme::find; a skipped module that is
// quantised all the same.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_quantized(std::unique_ptr<FileCheckpoint> stored,
                                                           const Scheme& scheme);

// One row of list.cpp. `parse` asks the reader for every key that it knows. Others refuse the config.
struct SchemeRow {
  std::string_view method;
  FindWeights (*parse)(base::JsonReader& j);
};
std::span<const SchemeRow> scheme_rows();

}  // namespace polymath::weights
