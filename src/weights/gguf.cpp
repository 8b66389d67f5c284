// One GGUF file as ModelFiles.

#include <utility>

#include "absl/strings/str_cat.h"
#include "weights/file_checkpoint.h"
#include "weights/gguf_config.h"
#include "weights/gguf_header.h"
#include "weights/mapped_file.h"
#include "weights/model_files.h"

namespace polymath::weights {
namespace {

class GgufFiles final : public ModelFiles {
 public:
  // `file`: what `bytes` is mapped by; null: the caller's memory.
  GgufFiles(std::string path, std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes,
            GgufHeader header)
      : path_(std::move(path)), file_(std::move(file)), bytes_(bytes), header_(std::move(header)) {}

  const std::string& path() const override { return path_; }
  absl::StatusOr<base::JsonValue> config() const override {
    auto config = gguf_config(header_);
    if (config.ok()) return config;
    return absl::Status(config.status().code(), absl::StrCat(path_, ": ", config.status().message()));
  }
  absl::StatusOr<base::JsonValue> generation_config() const override {
    return absl::NotFoundError(absl::StrCat(path_, ": a GGUF file has no generation config"));
  }
  TokenizerSource tokenizer_source() const override { return {"", header_.metadata}; }
  absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint() const override;

 private:
  const std::string path_;
  const std::shared_ptr<const MappedFile> file_;
  const std::span<const std::byte> bytes_;
  const GgufHeader header_;
};

tensor::DType dtype_of(const GgmlType& type, const quant::QuantFormat* format) {
  if (format != nullptr) return format->dtype;
  if (type.name == "I32") return tensor::DType::kI32;
  return type.name == "I64" ? tensor::DType::kI64 : tensor::DType::kCount;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> GgufFiles::open_checkpoint() const {
  auto checkpoint = std::make_unique<FileCheckpoint>(Naming::kGguf);
  if (file_ != nullptr) checkpoint->keep(file_);
  for (const GgufTensor& t : header_.tensors) {
    const quant::QuantFormat* format = t.type->format.empty() ? nullptr : quant::find_format(t.type->format);
    CHECK(format == nullptr ||
          (format->block_cols == t.type->block_values && format->block_bytes == t.type->block_bytes));
    checkpoint->add({{t.name, dtype_of(*t.type, format), t.shape, t.bytes, path_, format},
                     bytes_.subspan(t.begin, t.bytes),
                     std::string(t.type->name)});
  }
  RETURN_IF_ERROR(checkpoint->sort());
  return checkpoint;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelFiles>> open_gguf(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  auto file = std::make_shared<const MappedFile>(std::move(mapped));
  ASSIGN_OR_RETURN(GgufHeader header, read_gguf_header(file->bytes(), path, {}));
  const auto bytes = file->bytes();
  return std::make_unique<GgufFiles>(path, std::move(file), bytes, std::move(header));
}

absl::StatusOr<std::unique_ptr<ModelFiles>> parse_gguf(std::span<const std::byte> bytes,
                                                       const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(GgufHeader header, read_gguf_header(bytes, "(memory)", limits));
  return std::make_unique<GgufFiles>("(memory)", nullptr, bytes, std::move(header));
}

}  // namespace polymath::weights
