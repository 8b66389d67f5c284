#include "weights/safetensors.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "weights/mapped_file.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  // Adds a file's tensors. `file` is mapped memory if `mapped`, else the caller's.
  absl::Status add(std::span<const std::byte> file, const std::string& path, bool mapped,
                   const CheckpointLimits& limits);
  absl::Status map_and_add(const std::string& path, const CheckpointLimits& limits);
  // After the last add(). kInvalidArgument: a name stands in two files.
  absl::Status sort();

  std::span<const TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return find(name) != nullptr; }
  absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) override;
  void prefetch(std::string_view name) override {
    if (const Place* place = find(name); place != nullptr && place->mapped) MappedFile::will_need(place->bytes);
  }
  void release(std::string_view name) override {
    if (const Place* place = find(name); place != nullptr && place->mapped) MappedFile::drop(place->bytes);
  }
  size_t bytes_total() const override { return bytes_total_; }

 private:
  struct Place {
    std::span<const std::byte> bytes;
    std::string_view stored_dtype;
    bool mapped = false;
  };
  const Place* find(std::string_view name) const;

  std::vector<MappedFile> files_;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::vector<Place> places_;      // of infos_[i]
  size_t bytes_total_ = 0;
};

absl::Status SafetensorsCheckpoint::add(std::span<const std::byte> file, const std::string& path, bool mapped,
                                        const CheckpointLimits& limits) {
  CheckpointLimits left = limits;
  left.tensors_max -= infos_.size();
  ASSIGN_OR_RETURN(std::vector<StoredTensor> stored, read_safetensors_header(file, path, left));
  for (StoredTensor& t : stored) {
    const size_t bytes = t.end - t.begin;
    places_.push_back({file.subspan(t.begin, bytes), t.stored_dtype, mapped});
    infos_.push_back({std::move(t.name), t.dtype, t.shape, bytes, path, quant::find_plain_format(t.dtype)});
    bytes_total_ += bytes;
  }
  return absl::OkStatus();
}

absl::Status SafetensorsCheckpoint::map_and_add(const std::string& path, const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  RETURN_IF_ERROR(add(file.bytes(), path, true, limits));
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status SafetensorsCheckpoint::sort() {
  std::vector<size_t> order(infos_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [this](size_t a, size_t b) { return infos_[a].name < infos_[b].name; });
  std::vector<TensorInfo> infos;
  std::vector<Place> places;
  infos.reserve(order.size());
  places.reserve(order.size());
  for (const size_t i : order) {
    if (!infos.empty() && infos.back().name == infos_[i].name) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(infos_[i].name), " stands both in ",
                                                     infos.back().file, " and in ", infos_[i].file));
    }
    infos.push_back(std::move(infos_[i]));
    places.push_back(places_[i]);
  }
  infos_ = std::move(infos);
  places_ = std::move(places);
  return absl::OkStatus();
}

const SafetensorsCheckpoint::Place* SafetensorsCheckpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(infos_.begin(), infos_.end(), name,
                                   [](const TensorInfo& info, std::string_view n) { return info.name < n; });
  if (at == infos_.end() || at->name != name) return nullptr;
  return &places_[static_cast<size_t>(at - infos_.begin())];
}

absl::StatusOr<RawTensor> SafetensorsCheckpoint::read(std::string_view name, const tensor::Shape& expected) {
  const Place* place = find(name);
  if (place == nullptr) return absl::NotFoundError(absl::StrCat("the checkpoint has no tensor ", shown_name(name)));
  const TensorInfo& info = infos_[static_cast<size_t>(place - places_.data())];
  if (!(info.shape == expected)) {
    return absl::InvalidArgumentError(absl::StrCat(info.file, ": tensor ", shown_name(name), " has shape ",
                                                   info.shape.text(), "; ", expected.text(), " is expected"));
  }
  if (info.dtype == tensor::DType::kCount) {
    return absl::UnimplementedError(absl::StrCat(info.file, ": tensor ", shown_name(name), " is stored as ",
                                                 std::string(place->stored_dtype), ", a type that is not read here"));
  }
  return RawTensor{info.dtype, info.shape, place->bytes.data(), info.format};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> open_safetensors(const std::vector<std::string>& paths,
                                                             const CheckpointLimits& limits) {
  auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
  for (const std::string& path : paths) RETURN_IF_ERROR(checkpoint->map_and_add(path, limits));
  RETURN_IF_ERROR(checkpoint->sort());
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> parse_safetensors(std::span<const std::byte> bytes,
                                                              const CheckpointLimits& limits) {
  auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
  RETURN_IF_ERROR(checkpoint->add(bytes, "(memory)", false, limits));
  RETURN_IF_ERROR(checkpoint->sort());
  return checkpoint;
}

}  // namespace polymath::weights
