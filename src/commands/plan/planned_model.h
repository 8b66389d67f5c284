#pragma once

// The model that a plan is of: a directory, a GGUF file, a config.json, or a known name.

#include <memory>
#include <string>

#include "base/status.h"
#include "commands/options.h"
#include "plan/gpu_group.h"
#include "plan/model_facts.h"
#include "weights/model_files.h"

namespace polymath::commands {

struct PlannedModel {
  std::string name;    // as it was asked for
  std::string title;   // of a known model its own name, else `name`
  std::string source;  // where the facts come from: "safetensors or GGUF headers", "config.json", "known model"
  std::string stored;  // how the weights are kept, where no checkpoint says so: "fp8"; empty: by the checkpoint
  bool on_disk = false;
  std::unique_ptr<weights::ModelFiles> files;  // null: there are none
  std::unique_ptr<weights::Checkpoint> checkpoint;
  model::ModelConfig config;
  plan::StoredAs stored_as;
  plan::ModelFacts facts;
};

// `name` is a path, org/name of the local Hugging Face cache, or a known model, in this order. Reads headers alone.
// kNotFound: none of them; the message lists the known models.
absl::StatusOr<std::unique_ptr<PlannedModel>> open_planned_model(const std::string& name, const Options& options);

}  // namespace polymath::commands
