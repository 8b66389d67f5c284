#include "weights/gguf_parts.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "weights/checkpoint.h"

namespace polymath::weights {
namespace {

// "-00002-of-00003.gguf" at the end of a name.
constexpr std::string_view kOf = "-of-", kEnding = ".gguf";
constexpr size_t kDigits = 5, kSuffix = 1 + kDigits + kOf.size() + kDigits + kEnding.size();

int number_in(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? value : 0;
}

struct PartName {
  std::string start;  // before the numbers
  int part = 0, count = 0;
};

// count 0: the name of a file that is not split.
PartName part_name(const std::string& path) {
  PartName out;
  if (path.size() <= kSuffix || !path.ends_with(kEnding)) return out;
  const std::string_view suffix = std::string_view(path).substr(path.size() - kSuffix);
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, kOf.size()) != kOf) return out;
  out.part = number_in(suffix.substr(1, kDigits));
  const int count = number_in(suffix.substr(1 + kDigits + kOf.size(), kDigits));
  if (out.part < 1 || out.part > count || count > CheckpointLimits{}.shards_max) return out;
  out.start = path.substr(0, path.size() - kSuffix);
  out.count = count;
  return out;
}

}  // namespace

std::vector<std::string> gguf_parts(const std::string& path) {
  const PartName name = part_name(path);
  if (name.count < 2) return {path};
  std::vector<std::string> parts;
  for (int i = 1; i <= name.count; ++i)
    parts.push_back(absl::StrFormat("%s-%05d-of-%05d.gguf", name.start, i, name.count));
  return parts;
}

std::vector<std::string> gguf_models(const std::vector<std::string>& names) {
  std::vector<std::string> models;
  for (const std::string& name : names) {
    if (!name.ends_with(kEnding) || name.starts_with("mmproj")) continue;
    const PartName part = part_name(name);
    if (part.count < 2 || part.part == 1) models.push_back(name);
  }
  std::sort(models.begin(), models.end());
  return models;
}

bool gguf_has_quant(const std::string& path, std::string_view quant) {
  if (quant.empty() || !path.ends_with(kEnding)) return false;
  const PartName part = part_name(path);
  const std::string stem = part.count > 0 ? part.start : path.substr(0, path.size() - kEnding.size());
  const std::string wanted = absl::AsciiStrToLower(std::string(quant));
  const std::vector<std::string> names = absl::StrSplit(absl::AsciiStrToLower(stem), '/');
  for (const std::string_view name : names) {
    if (!name.ends_with(wanted)) continue;
    const std::string_view before = name.substr(0, name.size() - wanted.size());
    if (before.empty() || before.ends_with('-') || before.ends_with('.') || before.ends_with('_')) return true;
  }
  return false;
}

}  // namespace polymath::weights
