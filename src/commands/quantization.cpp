#include "commands/quantization.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/schemes/scheme.h"

namespace polymath::commands {
namespace {

struct PackedAtLoad {
  std::string_view name;
  std::vector<std::string_view> formats;  // best first
};

const std::vector<PackedAtLoad>& packed_at_load() {
  static const std::vector<PackedAtLoad> rows = {{"int8", {"int8_g128", "int8_g32"}},
                                                 {"fp8", {"fp8_g128", "fp8_g32"}},
                                                 {"mxfp4", {"mxfp4"}},
                                                 {"q8_0", {"q8_0"}},
                                                 {"q4_k", {"q4_k"}}};
  return rows;
}

const PackedAtLoad* find_packed(std::string_view name) {
  const auto& rows = packed_at_load();
  const auto at = std::find_if(rows.begin(), rows.end(), [&](const PackedAtLoad& row) { return row.name == name; });
  return at == rows.end() ? nullptr : &*at;
}

// Names of a scheme's kernels in other engines count as the scheme's.
std::string_view scheme_named(std::string_view value) {
  constexpr std::string_view kKernels = "_marlin";
  return value.ends_with(kKernels) ? value.substr(0, value.size() - kKernels.size()) : value;
}

}  // namespace

absl::StatusOr<std::string> scheme_of(const weights::ModelFiles& files) {
  ASSIGN_OR_RETURN(const base::JsonValue config, files.config());
  const base::JsonValue* found = config.is_object() ? weights::find_quantization(config.get_object()) : nullptr;
  if (found == nullptr) return "";
  ASSIGN_OR_RETURN(const weights::Scheme scheme, weights::parse_scheme(*found));
  return scheme.method;
}

absl::Status check_quantization(std::string_view value) {
  if (value.empty() || find_packed(value) != nullptr) return absl::OkStatus();
  std::vector<std::string> known;
  for (const PackedAtLoad& row : packed_at_load()) known.emplace_back(row.name);
  for (const weights::SchemeRow& row : weights::scheme_rows()) {
    if (row.method == scheme_named(value)) return absl::OkStatus();
    if (std::find(known.begin(), known.end(), row.method) == known.end()) known.emplace_back(row.method);
  }
  return absl::InvalidArgumentError(absl::StrCat("must be none, gguf, ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<std::vector<const quant::QuantFormat*>> formats_to_pack_to(std::string_view value,
                                                                          std::string_view scheme) {
  std::vector<const quant::QuantFormat*> out;
  if (value.empty() || scheme_named(value) == scheme) return out;
  if (!scheme.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--quantization ", std::string(value),
                                                   ": the checkpoint is quantised already, by ", std::string(scheme)));
  }
  const PackedAtLoad* packed = find_packed(value);
  if (packed == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--quantization ", std::string(value), ": the checkpoint is not quantised"));
  }
  for (const std::string_view name : packed->formats) out.push_back(quant::find_format(name));
  return out;
}

}  // namespace polymath::commands
