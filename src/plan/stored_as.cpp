#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "plan/gpu_group.h"

namespace polymath::plan {
namespace {

using Formats = std::vector<const quant::QuantFormat*>;

struct Row {
  std::string_view name;
  std::vector<std::string_view> formats;  // best first
};

// Names of checkpoint schemes and of --quantization, and the formats that this engine keeps them in.
const std::vector<Row>& rows() {
  static const std::vector<Row> table = {{"fp8", {"fp8_g128", "fp8_g32"}},
                                         {"int8", {"int8_g128", "int8_g32"}},
                                         {"awq", {"int4_g128", "int4_g32"}},
                                         {"gptq", {"int4_g128", "int4_g32"}},
                                         {"int4", {"int4_g128", "int4_g32"}}};
  return table;
}

absl::StatusOr<Formats> formats_of(std::string_view name) {
  for (const Row& row : rows()) {
    if (row.name != name) continue;
    Formats out;
    for (const std::string_view format : row.formats) out.push_back(quant::find_format(format));
    return out;
  }
  const quant::QuantFormat* format = quant::find_format(name);
  if (format != nullptr && !format->plain()) return Formats{format};
  std::string known = "none, bfloat16, fp8, int8, awq, gptq, int4";
  for (const quant::QuantFormat* row : quant::quant_formats()) {
    if (!row->plain()) absl::StrAppend(&known, ", ", std::string(row->name));
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", std::string(name), "\" is not one of ", known));
}

}  // namespace

absl::StatusOr<StoredAs> stored_as(std::string_view given) {
  const std::string name = absl::AsciiStrToLower(std::string(given));
  if (name.empty() || name == "none" || name == "bfloat16" || name == "bf16") return StoredAs{};
  ASSIGN_OR_RETURN(Formats formats, formats_of(name));
  if (name == "mxfp4") return StoredAs{.experts = std::move(formats), .linear = {}, .head = {}};
  return StoredAs{.experts = formats, .linear = formats, .head = {}};
}

}  // namespace polymath::plan
