#include "weights/file_checkpoint.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

// GGUF counts every tensor as four-dimensional and writes no outer dimensions of 1.
tensor::Shape without_outer_ones(const tensor::Shape& shape) {
  tensor::Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (out.rank() > 0 || shape[i] != 1) out.push_back(shape[i]);
  }
  return out;
}

bool same_shape(Naming naming, const tensor::Shape& a, const tensor::Shape& b) {
  return a == b || (naming == Naming::kGguf && without_outer_ones(a) == without_outer_ones(b));
}

}  // namespace

absl::Status FileCheckpoint::sort(const absl::flat_hash_map<std::string, std::string>& home) {
  std::stable_sort(stored_.begin(), stored_.end(),
                   [](const auto& a, const auto& b) { return a.info.name < b.info.name; });
  std::vector<Stored> kept;
  for (auto first = stored_.begin(); first != stored_.end();) {
    const std::string name = first->info.name;
    const auto end = std::find_if(first, stored_.end(), [&](const Stored& s) { return s.info.name != name; });
    auto chosen = first;
    if (end - first > 1) {
      const auto at = home.find(name);
      chosen = std::find_if(first, end, [&](const Stored& s) { return at != home.end() && s.info.file == at->second; });
      if (chosen == end) {
        return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(name), " is both in ", first->info.file,
                                                       " and in ", (first + 1)->info.file));
      }
    }
    infos_.push_back(chosen->info);
    kept.push_back(std::move(*chosen));
    first = end;
  }
  stored_ = std::move(kept);
  return absl::OkStatus();
}

const FileCheckpoint::Stored* FileCheckpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(stored_.begin(), stored_.end(), name,
                                   [](const Stored& s, std::string_view n) { return s.info.name < n; });
  return at == stored_.end() || at->info.name != name ? nullptr : &*at;
}

absl::StatusOr<RawTensor> FileCheckpoint::read(std::string_view name, const tensor::Shape& expected) {
  const Stored* stored = find(name);
  if (stored == nullptr) return absl::NotFoundError(absl::StrCat("the checkpoint has no tensor ", shown_name(name)));
  const TensorInfo& info = stored->info;
  if (!same_shape(naming_, info.shape, expected)) {
    return absl::InvalidArgumentError(absl::StrCat(info.file, ": tensor ", shown_name(name), " has shape ",
                                                   info.shape.text(), "; ", expected.text(), " is expected"));
  }
  if (info.dtype == tensor::DType::kCount) {
    return absl::UnimplementedError(absl::StrCat(info.file, ": tensor ", shown_name(name), " is stored as ",
                                                 stored->type, ", a type that is not read here"));
  }
  return RawTensor{info.dtype, expected, stored->bytes.data(), info.format};
}

void FileCheckpoint::prefetch(std::string_view name) {
  if (const Stored* stored = find(name); stored != nullptr && !files_.empty()) MappedFile::will_need(stored->bytes);
}

void FileCheckpoint::release(std::string_view name) {
  if (const Stored* stored = find(name); stored != nullptr && !files_.empty()) MappedFile::drop(stored->bytes);
}

}  // namespace polymath::weights
