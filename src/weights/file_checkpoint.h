#pragma once

// Tensors stored in files, by name: the part that safetensors and GGUF share.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "weights/checkpoint.h"
#include "weights/mapped_file.h"

namespace polymath::weights {

class FileCheckpoint final : public Checkpoint {
 public:
  explicit FileCheckpoint(Naming naming) : naming_(naming) {}

  struct Stored {
    TensorInfo info;
    std::span<const std::byte> bytes;
    std::string type;  // as the file spells it
  };
  // REQUIRES: the tensor's bytes are in a kept file, or outlive the checkpoint.
  void add(Stored tensor) { stored_.push_back(std::move(tensor)); }
  void keep(std::shared_ptr<const MappedFile> file) { files_.push_back(std::move(file)); }
  // Once, after the last add(). A tensor that several files have is taken from the file that `home` names for it.
  // kInvalidArgument: it names none of them.
  absl::Status sort(const absl::flat_hash_map<std::string, std::string>& home = {});

  std::span<const TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return find(name) != nullptr; }
  Naming naming() const override { return naming_; }
  absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) override;
  void prefetch(std::string_view name) override;
  void release(std::string_view name) override;

  // Tensors as they are stored, of any type; sorted by name.
  std::span<const Stored> stored() const { return stored_; }
  const Stored* find(std::string_view name) const;  // null: there is none

 private:
  const Naming naming_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<Stored> stored_;     // sorted by name
  std::vector<TensorInfo> infos_;  // of stored_[i]
};

}  // namespace polymath::weights
