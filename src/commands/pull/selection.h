#pragma once

// Which files of a repository a model needs. Pure.

#include <string>
#include <vector>

#include "commands/pull/listing.h"

namespace polymath::commands {

struct Wanted {
  std::string repository;  // for messages
  std::string file;        // one GGUF file, with its other parts if it is split; empty: the model
  std::string quant;       // the GGUF model in this quantisation, as NAME:QUANT has it; empty: any
};

struct Selection {
  std::vector<HubFile> files;
  std::vector<std::string> pickles;  // left out, for they can run code when they are read
};

// The safetensors at the repository's top with configuration, tokenizer and templates; where there are none, its one
// GGUF model. Mistral's consolidated.* is left out beside model-*.safetensors.
//
// kNotFound: no such file or quantisation, or a part of it is missing. kFailedPrecondition: weights as pickle alone.
// kInvalidArgument: several GGUF models, whose names the message lists; a file that is no GGUF.
absl::StatusOr<Selection> select_files(const std::vector<HubFile>& files, const Wanted& wanted);

}  // namespace polymath::commands
