#pragma once

// Finds a config's architecture, and the part of the config that describes the text model.
//
//   ASSIGN_OR_RETURN(const ConfigSource source, find_source(config));
//   parse(source.text) by source.architecture->keys
//
// A multimodal model is served by its text part alone. Source: the configuration classes of transformers 5.24.

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "model/architecture.h"

namespace polymath::model {

struct ConfigSource {
  const Architecture* architecture = nullptr;
  std::string name;       // one of architecture->names
  base::JsonObject text;  // the config, or a multimodal model's text_config
  std::string left_out;   // of a multimodal model: "vision_config"
};

// kUnimplemented: no such architecture here, or keys beside the text that may change its output. kInvalidArgument:
// `config` is not an object, or lacks its text part.
absl::StatusOr<ConfigSource> find_source(const base::JsonValue& config);

}  // namespace polymath::model
