// A quantised checkpoint, with each quantised weight as one tensor in one format.

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "weights/safetensors_header.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

// Bytes of packed values. Nullopt: too many to count.
std::optional<size_t> packed_bytes(const tensor::Shape& shape, const quant::QuantFormat& format) {
  uint64_t bytes = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(shape[i]), &bytes)) return std::nullopt;
  }
  if (__builtin_mul_overflow(bytes / static_cast<uint64_t>(format.block_cols),
                             static_cast<uint64_t>(format.block_bytes), &bytes) ||
      bytes > (uint64_t{1} << 60)) {
    return std::nullopt;
  }
  return bytes;
}

class QuantizedCheckpoint final : public Checkpoint {
 public:
  explicit QuantizedCheckpoint(std::unique_ptr<FileCheckpoint> stored) : stored_(std::move(stored)) {}

  absl::Status add(const Scheme& scheme);

  std::span<const TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return find_tensor(*this, name) != nullptr; }
  absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) override;
  void prefetch(std::string_view name) override {
    for_stored(name, [&](std::string_view stored) { stored_->prefetch(stored); });
  }
  void release(std::string_view name) override {
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = made_.find(name); at != made_.end()) made_.erase(at);
    }
    for_stored(name, [&](std::string_view stored) { stored_->release(stored); });
  }

 private:
  // The stored tensors of a weight, or the plain tensor itself.
  template <typename F>
  void for_stored(std::string_view name, F f) {
    const auto at = packed_.find(name);
    if (at == packed_.end()) return f(name);
    f(at->second.main->info.name);
    for (const Stored* stored : at->second.beside) f(stored->info.name);
  }
  absl::Status add_weight(PackedWeight weight);
  void list_tensors();
  absl::StatusOr<tensor::Buffer> make(const PackedWeight& weight, const quant::QuantFormat& format) const;

  const std::unique_ptr<FileCheckpoint> stored_;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::map<std::string, PackedWeight, std::less<>> packed_;
  std::set<std::string, std::less<>> hidden_;  // parts of packed weights
  std::mutex mutex_;
  std::map<std::string, tensor::Buffer, std::less<>> made_;  // guarded by mutex_
};

absl::Status QuantizedCheckpoint::add(const Scheme& scheme) {
  std::vector<PackedWeight> found;
  RETURN_IF_ERROR(scheme.find(*stored_, found));
  for (PackedWeight& weight : found) RETURN_IF_ERROR(add_weight(std::move(weight)));
  for (const std::string& module : scheme.skipped) {
    const auto at = packed_.find(module + ".weight");
    if (at == packed_.end()) continue;
    return bad_tensor(*at->second.main, "is quantised, though quantization_config excludes its module");
  }
  list_tensors();
  return absl::OkStatus();
}

absl::Status QuantizedCheckpoint::add_weight(PackedWeight weight) {
  const quant::QuantFormat& format = format_of(weight.groups);
  if (!packed_bytes(weight.shape, format).has_value()) return bad_tensor(*weight.main, "is too large");
  const Stored* plain = stored_->find(weight.name);
  if (plain != nullptr && plain != weight.main) {
    return bad_tensor(*weight.main, absl::StrCat("is stored beside ", shown_name(weight.name), ", the same weight"));
  }
  hidden_.insert(weight.main->info.name);
  for (const Stored* part : weight.beside) hidden_.insert(part->info.name);
  const Stored& main = *weight.main;
  const std::string name = weight.name;
  if (packed_.try_emplace(name, std::move(weight)).second) return absl::OkStatus();
  return bad_tensor(main, absl::StrCat("makes a second ", shown_name(name)));
}

void QuantizedCheckpoint::list_tensors() {
  std::map<std::string, size_t> unpacked;
  for (const auto& [name, weight] : packed_) {
    const quant::QuantFormat& format = format_of(weight.groups);
    TensorInfo info{name, format.dtype, weight.shape, weight.main->info.bytes, weight.main->info.file, &format};
    info.scheme = weight.what;
    for (const Stored* part : weight.beside) info.bytes += part->info.bytes;
    infos_.push_back(std::move(info));
    if (format.plain()) ++unpacked[weight.what];
  }
  for (const Stored& stored : stored_->stored()) {
    if (!hidden_.contains(stored.info.name)) infos_.push_back(stored.info);
  }
  std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& [what, n] : unpacked) {
    base::log_info("weights", n, " weights of ", what, " fit no packed format: they are unpacked at load");
  }
}

absl::StatusOr<tensor::Buffer> QuantizedCheckpoint::make(const PackedWeight& weight,
                                                         const quant::QuantFormat& format) const {
  const auto complain = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(weight.main->info.file, ": weight ", shown_name(weight.name), ": ",
                                                    status.message()));
  };
  const auto matrix = weight.load();
  if (!matrix.ok()) return matrix.status();
  ASSIGN_OR_RETURN(tensor::Buffer memory, tensor::Buffer::host(*packed_bytes(weight.shape, format)));
  const absl::Status packed = pack(*matrix, format, static_cast<std::byte*>(memory.data()));
  if (!packed.ok()) return complain(packed);
  return memory;
}

absl::StatusOr<RawTensor> QuantizedCheckpoint::read(std::string_view name, const tensor::Shape& expected) {
  const auto at = packed_.find(name);
  if (at == packed_.end()) {
    if (hidden_.contains(name)) return absl::NotFoundError(absl::StrCat(shown_name(name), " is a part of a weight"));
    return stored_->read(name, expected);
  }
  const PackedWeight& weight = at->second;
  if (!(weight.shape == expected)) {
    return absl::InvalidArgumentError(absl::StrCat(weight.main->info.file, ": weight ", shown_name(name), " (",
                                                   weight.what, ") has shape ", weight.shape.text(), "; ",
                                                   expected.text(), " is expected"));
  }
  const quant::QuantFormat& format = format_of(weight.groups);
  const auto raw = [&](const tensor::Buffer& memory) {
    return RawTensor{format.dtype, expected, static_cast<const std::byte*>(memory.data()), &format};
  };
  {
    const std::lock_guard lock(mutex_);
    if (const auto made = made_.find(name); made != made_.end()) return raw(made->second);
  }
  // Outside the lock: threads make tensors at once.
  ASSIGN_OR_RETURN(tensor::Buffer memory, make(weight, format));
  const std::lock_guard lock(mutex_);
  return raw(made_.try_emplace(std::string(name), std::move(memory)).first->second);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> open_quantized(std::unique_ptr<FileCheckpoint> stored,
                                                           const Scheme& scheme) {
  auto checkpoint = std::make_unique<QuantizedCheckpoint>(std::move(stored));
  RETURN_IF_ERROR(checkpoint->add(scheme));
  return checkpoint;
}

}  // namespace polymath::weights
