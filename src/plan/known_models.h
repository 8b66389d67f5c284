#pragma once

// Models that a plan can be made of by name alone: nothing of them is on this machine.

#include <span>
#include <string_view>

#include "base/status.h"
#include "model/config.h"

namespace polymath::plan {

struct KnownModel {
  std::string_view name;        // "Mixtral-8x7B"
  std::string_view repository;  // of the Hugging Face hub
  std::string_view also;        // other repositories and names with the same sizes, separated by blanks
  std::string_view stored;      // how the released weights are stored: a name of stored_as()
  // In config.json's words. Scaled rotations are left out: they change no size.
  std::string_view config;
};

std::span<const KnownModel> known_models();

// By name or repository, with or without the part before "/"; case does not count. Null: not known.
const KnownModel* find_known_model(std::string_view name);

// kNotFound: not known; the message lists the known names.
absl::StatusOr<model::ModelConfig> known_config(std::string_view name);

}  // namespace polymath::plan
