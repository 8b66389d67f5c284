#pragma once

// What a packed Hugging Face directory holds: its files, their tensors, and where each comes from.

#include <string>
#include <vector>

#include "commands/quantize/scheme_writer.h"
#include "weights/file_checkpoint.h"

namespace polymath::commands {

constexpr uint64_t kShardBytes = 5'000'000'000;  // of a file with several tensors; a larger tensor has its own file

// A tensor of the checkpoint, and what it becomes.
struct PlannedTensor {
  const weights::FileCheckpoint::Stored* stored = nullptr;
  bool packed = false;  // else copied
  PlainMatrix matrix;   // where packed
  std::vector<weights::NewTensor> parts;
  std::vector<uint64_t> places;  // of the parts, in their file
};

struct PlannedFile {
  std::string name;
  std::vector<PlannedTensor> tensors;
  std::string header;
  uint64_t bytes = 0;
};

struct DirectoryPlan {
  SchemeOptions options;
  std::vector<PlannedFile> files;
  std::vector<std::string> left_out;  // modules with matrices that stay plain
  uint64_t bytes = 0;                 // of the weights
  base::JsonObject index() const;     // model.safetensors.index.json
};

// kUnimplemented: a matrix of a type or layout that is not packed. `matrices`: of the checkpoint, in its order.
absl::StatusOr<DirectoryPlan> plan_directory(const weights::FileCheckpoint& checkpoint,
                                             const std::vector<PlainMatrix>& matrices, const SchemeWriter& writer,
                                             uint64_t shard_bytes = kShardBytes);

}  // namespace polymath::commands
