#include "commands/quantize/directory_plan.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "quant/format.h"

namespace polymath::commands {
namespace {

using Stored = weights::FileCheckpoint::Stored;

constexpr std::string_view kWeight = ".weight";
constexpr const char* kHead = "lm_head";

absl::Status check_type(const Stored& stored) {
  if (stored.type == "BF16" || stored.type == "F16" || stored.type == "F32") return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(stored.info.file, ": tensor ", stored.info.name, " is of type ",
                                               stored.type, "; float32, float16 and bfloat16 are packed"));
}

// The types of most matrices decide the scales' type.
bool mostly_half(const weights::FileCheckpoint& checkpoint, const std::vector<PlainMatrix>& matrices) {
  const auto n = std::count_if(matrices.begin(), matrices.end(),
                               [&](const PlainMatrix& m) { return checkpoint.find(m.name)->type == "F16"; });
  return 2 * n > static_cast<int64_t>(matrices.size());
}

std::vector<PlannedTensor> planned_tensors(const weights::FileCheckpoint& checkpoint) {
  std::vector<PlannedTensor> out;
  for (const Stored& stored : checkpoint.stored()) {
    PlannedTensor& t = out.emplace_back();
    t.stored = &stored;
    t.parts = {{stored.info.name, stored.type, stored.info.shape, stored.bytes.size()}};
  }
  return out;
}

std::vector<std::string> plain_modules(const std::vector<PlannedTensor>& tensors) {
  std::vector<std::string> out;
  for (const PlannedTensor& t : tensors) {
    const std::string& name = t.stored->info.name;
    if (t.packed || t.stored->info.shape.rank() < 2 || !absl::EndsWith(name, std::string(kWeight))) continue;
    out.push_back(name.substr(0, name.size() - kWeight.size()));
  }
  // A tied head is stored nowhere, and other engines make a module of it.
  if (std::find(out.begin(), out.end(), kHead) == out.end()) out.emplace_back(kHead);
  return out;
}

uint64_t bytes_of(const PlannedTensor& t) {
  uint64_t bytes = 0;
  for (const weights::NewTensor& part : t.parts) bytes += part.bytes;
  return bytes;
}

void lay_out(PlannedFile& file) {
  std::vector<weights::NewTensor> all;
  for (const PlannedTensor& t : file.tensors) all.insert(all.end(), t.parts.begin(), t.parts.end());
  weights::SafetensorsLayout layout = weights::lay_out_safetensors(all);
  size_t at = 0;
  for (PlannedTensor& t : file.tensors) {
    const auto first = layout.places.begin() + static_cast<std::ptrdiff_t>(at);
    t.places.assign(first, first + static_cast<std::ptrdiff_t>(t.parts.size()));
    at += t.parts.size();
  }
  file.header = std::move(layout.header);
  file.bytes = layout.bytes;
}

std::vector<PlannedFile> in_files(std::vector<PlannedTensor> tensors, uint64_t shard_bytes) {
  std::vector<PlannedFile> files(1);
  uint64_t bytes = 0;
  for (PlannedTensor& t : tensors) {
    if (bytes > 0 && bytes + bytes_of(t) > shard_bytes) {
      files.emplace_back();
      bytes = 0;
    }
    bytes += bytes_of(t);
    files.back().tensors.push_back(std::move(t));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1 ? "model.safetensors"
                                      : absl::StrFormat("model-%05d-of-%05d.safetensors", i + 1, files.size());
    lay_out(files[i]);
  }
  return files;
}

}  // namespace

absl::StatusOr<DirectoryPlan> plan_directory(const weights::FileCheckpoint& checkpoint,
                                             const std::vector<PlainMatrix>& matrices, const SchemeWriter& writer,
                                             uint64_t shard_bytes) {
  DirectoryPlan plan;
  plan.options = writer.options(matrices, mostly_half(checkpoint, matrices));
  std::vector<PlannedTensor> tensors = planned_tensors(checkpoint);
  std::map<std::string_view, PlannedTensor*> by_name;
  for (PlannedTensor& t : tensors) by_name[t.stored->info.name] = &t;
  for (const PlainMatrix& matrix : matrices) {
    PlannedTensor& t = *by_name.at(matrix.name);
    RETURN_IF_ERROR(check_type(*t.stored));
    ASSIGN_OR_RETURN(t.packed, writer.holds(matrix, plan.options));
    t.matrix = matrix;
    if (t.packed) t.parts = writer.tensors(matrix, plan.options);
  }
  plan.left_out = plain_modules(tensors);
  plan.files = in_files(std::move(tensors), shard_bytes);
  for (const PlannedFile& file : plan.files) plan.bytes += file.bytes;
  return plan;
}

base::JsonObject DirectoryPlan::index() const {
  base::JsonObject map;
  uint64_t total = 0;
  for (const PlannedFile& file : files) {
    for (const PlannedTensor& t : file.tensors) {
      total += bytes_of(t);
      for (const weights::NewTensor& part : t.parts) map[part.name] = boost::json::string(file.name);
    }
  }
  return {{"metadata", base::JsonObject{{"total_size", total}}}, {"weight_map", std::move(map)}};
}

}  // namespace polymath::commands
