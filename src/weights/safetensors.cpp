#include "weights/safetensors.h"

#include "weights/file_checkpoint.h"
#include "weights/mapped_file.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

// Adds a file's tensors.
absl::Status add_file(std::span<const std::byte> file, const std::string& path, const CheckpointLimits& limits,
                      FileCheckpoint& checkpoint, size_t& tensors) {
  CheckpointLimits left = limits;
  left.tensors_max -= tensors;
  ASSIGN_OR_RETURN(std::vector<StoredTensor> stored, read_safetensors_header(file, path, left));
  tensors += stored.size();
  for (StoredTensor& t : stored) {
    const size_t bytes = t.end - t.begin;
    checkpoint.add({{std::move(t.name), t.dtype, t.shape, bytes, path, quant::find_plain_format(t.dtype)},
                    file.subspan(t.begin, bytes),
                    t.stored_dtype});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileCheckpoint>> open_safetensors(const WeightFiles& files,
                                                                 const CheckpointLimits& limits) {
  auto checkpoint = std::make_unique<FileCheckpoint>(Naming::kHuggingFace);
  size_t tensors = 0;
  for (const std::string& path : files.paths) {
    ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
    const auto file = std::make_shared<const MappedFile>(std::move(mapped));
    checkpoint->keep(file);
    RETURN_IF_ERROR(add_file(file->bytes(), path, limits, *checkpoint, tensors));
  }
  RETURN_IF_ERROR(checkpoint->sort({files.index.begin(), files.index.end()}));
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<FileCheckpoint>> open_stored(const std::string& directory,
                                                            const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(const WeightFiles files, find_weight_files(directory, limits));
  ASSIGN_OR_RETURN(std::unique_ptr<FileCheckpoint> checkpoint, open_safetensors(files, limits));
  warn_about_code(directory);
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<FileCheckpoint>> parse_stored(std::span<const std::byte> bytes,
                                                             const CheckpointLimits& limits) {
  auto checkpoint = std::make_unique<FileCheckpoint>(Naming::kHuggingFace);
  size_t tensors = 0;
  RETURN_IF_ERROR(add_file(bytes, "(memory)", limits, *checkpoint, tensors));
  RETURN_IF_ERROR(checkpoint->sort());
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> parse_safetensors(std::span<const std::byte> bytes,
                                                              const CheckpointLimits& limits) {
  return parse_stored(bytes, limits);
}

}  // namespace polymath::weights
