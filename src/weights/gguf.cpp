// A GGUF file, or the parts of a split one, as ModelFiles.

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "weights/file_checkpoint.h"
#include "weights/gguf_config.h"
#include "weights/gguf_model.h"
#include "weights/gguf_parts.h"
#include "weights/model_files.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

class GgufFiles final : public ModelFiles {
 public:
  explicit GgufFiles(GgufModel model) : parts_(std::move(model.parts)), header_(std::move(model.header)) {}

  const std::string& path() const override { return parts_[0].path; }
  absl::StatusOr<base::JsonValue> config() const override {
    auto config = gguf_config(header_, parts_[0].bytes);
    if (config.ok()) return config;
    return absl::Status(config.status().code(), absl::StrCat(path(), ": ", config.status().message()));
  }
  absl::StatusOr<base::JsonValue> generation_config() const override {
    return absl::NotFoundError(absl::StrCat(path(), ": a GGUF file has no generation config"));
  }
  TokenizerSource tokenizer_source() const override { return {"", header_.metadata}; }
  absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint() const override;

 private:
  const std::vector<GgufPart> parts_;
  const GgufHeader header_;
};

tensor::DType dtype_of(const GgmlType& type, const quant::QuantFormat* format) {
  if (format != nullptr) return format->dtype;
  if (type.name == "I32") return tensor::DType::kI32;
  return type.name == "I64" ? tensor::DType::kI64 : tensor::DType::kCount;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> GgufFiles::open_checkpoint() const {
  auto checkpoint = std::make_unique<FileCheckpoint>(Naming::kGguf);
  for (const GgufPart& part : parts_) {
    if (part.file != nullptr) checkpoint->keep(part.file);
  }
  for (const GgufTensor& t : header_.tensors) {
    if (is_rope_tensor(t.name)) continue;  // part of the config
    const quant::QuantFormat* format = t.type->format.empty() ? nullptr : quant::find_format(t.type->format);
    CHECK(format == nullptr ||
          (format->block_cols == t.type->block_values && format->block_bytes == t.type->block_bytes));
    const GgufPart& part = parts_[t.part];
    checkpoint->add({{t.name, dtype_of(*t.type, format), t.shape, t.bytes, part.path, format},
                     part.bytes.subspan(t.begin, t.bytes),
                     std::string(t.type->name)});
  }
  RETURN_IF_ERROR(checkpoint->sort());
  return checkpoint;
}

// Adds the header's tensors to those of the parts before.
absl::Status add_part(GgufHeader header, const GgufPart& part, size_t index, size_t count, GgufHeader& all) {
  if (static_cast<size_t>(header.parts()) != count) {
    return absl::InvalidArgumentError(
        absl::StrCat(part.path, ": split.count: is ", header.parts(), ", but there are ", count, " parts"));
  }
  const base::JsonValue* number = header.metadata.if_contains("split.no");
  if (count > 1 && (number == nullptr || *number != static_cast<int64_t>(index))) {
    return absl::InvalidArgumentError(absl::StrCat(part.path, ": split.no: must be ", index));
  }
  for (GgufTensor& t : header.tensors) {
    t.part = index;
    all.tensors.push_back(std::move(t));
  }
  if (index == 0) {
    header.tensors = std::move(all.tensors);
    all = std::move(header);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufModel> open_gguf_model(const std::string& path) {
  GgufModel model;
  const std::vector<std::string> paths = gguf_parts(path);
  for (const std::string& each : paths) {
    ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(each));
    auto file = std::make_shared<const MappedFile>(std::move(mapped));
    ASSIGN_OR_RETURN(GgufHeader header, read_gguf_header(file->bytes(), each, {}));
    const auto bytes = file->bytes();
    model.parts.push_back({each, std::move(file), bytes});
    RETURN_IF_ERROR(
        add_part(std::move(header), model.parts.back(), model.parts.size() - 1, paths.size(), model.header));
  }
  auto& all = model.header.tensors;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return model;
}

absl::StatusOr<std::unique_ptr<ModelFiles>> open_gguf(const std::string& path) {
  ASSIGN_OR_RETURN(GgufModel model, open_gguf_model(path));
  return std::make_unique<GgufFiles>(std::move(model));
}

absl::StatusOr<std::unique_ptr<ModelFiles>> parse_gguf(std::span<const std::byte> bytes,
                                                       const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(GgufHeader header, read_gguf_header(bytes, "(memory)", limits));
  if (header.parts() > 1) return absl::UnimplementedError("(memory): split.count: is a part of a split file");
  return std::make_unique<GgufFiles>(GgufModel{{{"(memory)", nullptr, bytes}}, std::move(header)});
}

}  // namespace polymath::weights
