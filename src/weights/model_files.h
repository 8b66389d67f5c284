#pragma once

// A model on disk: a directory of safetensors and JSON files, or a GGUF file, which may be split.
//
//   ASSIGN_OR_RETURN(const std::string path, resolve_model(name, revision));
//   ASSIGN_OR_RETURN(const auto files, open_model_files(path));
//   ASSIGN_OR_RETURN(const base::JsonValue config, files->config());
//   ASSIGN_OR_RETURN(const auto checkpoint, files->open_checkpoint());
//
// Thread safety: const methods may run at once.

#include <memory>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "weights/checkpoint.h"

namespace polymath::weights {

// Where text/ reads a model's tokenizer and chat template.
struct TokenizerSource {
  std::string directory;      // of tokenizer.json and its neighbours; empty: metadata
  base::JsonObject metadata;  // of a GGUF file: "tokenizer.ggml.tokens", "tokenizer.chat_template", ...
  bool gguf() const { return directory.empty(); }
};

class ModelFiles {
 public:
  virtual ~ModelFiles() = default;

  virtual const std::string& path() const = 0;  // the directory or file
  // config.json, or the same facts in its words.
  virtual absl::StatusOr<base::JsonValue> config() const = 0;
  virtual absl::StatusOr<base::JsonValue> generation_config() const = 0;  // kNotFound: the model has none
  virtual TokenizerSource tokenizer_source() const = 0;
  virtual absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint() const = 0;
};

// Opens *.gguf as a GGUF file, with the other parts if it is split. Else a directory, or the one GGUF model in it:
// where there are no safetensors, or if `gguf`. kNotFound, kInvalidArgument: `gguf`, but there is none, or there are
// several. Errors as below.
absl::StatusOr<std::unique_ptr<ModelFiles>> open_model_files(const std::string& path, bool gguf = false);
// Opens nothing yet; its files' errors come from the methods.
std::unique_ptr<ModelFiles> open_directory(const std::string& directory);
// Reads the whole header, of all parts. Errors: read_gguf_header()'s and MappedFile::open()'s.
absl::StatusOr<std::unique_ptr<ModelFiles>> open_gguf(const std::string& path);
// The same from memory, which must outlive it; for tests and fuzzing.
absl::StatusOr<std::unique_ptr<ModelFiles>> parse_gguf(std::span<const std::byte> bytes,
                                                       const CheckpointLimits& limits);

}  // namespace polymath::weights
