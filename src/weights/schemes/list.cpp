// Every scheme, the most used first. To add one: write its file, then its line below.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/safetensors_header.h"
#include "weights/schemes/scheme.h"

namespace polymath::weights {

FindWeights parse_fp8(base::JsonReader& j);
FindWeights parse_fbgemm_fp8(base::JsonReader& j);
FindWeights parse_mistral_fp8(base::JsonReader& j);
FindWeights parse_mxfp4(base::JsonReader& j);
FindWeights parse_awq(base::JsonReader& j);
FindWeights parse_gptq(base::JsonReader& j);
FindWeights parse_compressed_tensors(base::JsonReader& j);
FindWeights parse_modelopt(base::JsonReader& j);
FindWeights parse_bitsandbytes(base::JsonReader& j);
FindWeights parse_eetq(base::JsonReader& j);
FindWeights parse_squeezellm(base::JsonReader& j);

std::span<const SchemeRow> scheme_rows() {
  static constexpr SchemeRow kRows[] = {
      {"fp8", parse_fp8},
      {"fbgemm_fp8", parse_fbgemm_fp8},
      {"fp8_e4m3", parse_mistral_fp8},
      {"mxfp4", parse_mxfp4},
      {"awq", parse_awq},
      {"gptq", parse_gptq},
      {"compressed-tensors", parse_compressed_tensors},
      {"modelopt", parse_modelopt},
      {"modelopt_fp4", parse_modelopt},
      {"bitsandbytes", parse_bitsandbytes},
      {"eetq", parse_eetq},
      {"squeezellm", parse_squeezellm},
  };
  return kRows;
}

namespace {

constexpr std::string_view kKey = "quantization_config";
constexpr int kDepthMax = 3;  // of wrappers: thinker_config.text_config

const base::JsonValue* find_within(const base::JsonObject& config, int depth) {
  if (const auto* own = config.if_contains({kKey.data(), kKey.size()}); own != nullptr && !own->is_null()) return own;
  if (depth == kDepthMax) return nullptr;
  for (const auto& [key, value] : config) {
    if (!value.is_object() || !std::string_view(key.data(), key.size()).ends_with("_config")) continue;
    if (const auto* inner = find_within(value.get_object(), depth + 1); inner != nullptr) return inner;
  }
  return nullptr;
}

// Older configs of bitsandbytes and ModelOpt name no method.
std::string method_of(base::JsonReader& j) {
  const std::string method = j.s("quant_method", "");
  if (!method.empty()) return method;
  if (j.b("load_in_4bit", false) || j.b("load_in_8bit", false)) return "bitsandbytes";
  return j.has("quant_algo") ? "modelopt" : "";
}

const SchemeRow* find_row(std::string_view method) {
  for (const SchemeRow& row : scheme_rows()) {
    if (row.method == method) return &row;
  }
  return nullptr;
}

absl::Status not_read(const std::string& method) {
  const auto add_name = [](std::string* out, const SchemeRow& row) { out->append(row.method); };
  return absl::UnimplementedError(absl::StrCat(
      "the checkpoint is quantised by ", method.empty() ? "an unnamed method" : shown_name(method), " (",
      std::string(kKey), ".quant_method); these are read: ", absl::StrJoin(scheme_rows(), ", ", add_name)));
}

// Modules that were left as they are, under each scheme's name for the list. Patterns are not used: the tensors tell.
std::vector<std::string> skipped_modules(base::JsonReader& j) {
  std::vector<std::string> out;
  for (const std::string_view key :
       {"modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules"}) {
    for (std::string& name : j.strings(key)) {
      if (name.find_first_of("*:") == std::string::npos) out.push_back(std::move(name));
    }
  }
  return out;
}

}  // namespace

const base::JsonValue* find_quantization(const base::JsonObject& config) { return find_within(config, 0); }

absl::StatusOr<Scheme> parse_scheme(const base::JsonValue& quantization_config) {
  base::JsonReader j(quantization_config, std::string(kKey));
  j.read_as_config();
  Scheme scheme{.method = method_of(j)};
  RETURN_IF_ERROR(j.status());
  const SchemeRow* row = find_row(scheme.method);
  if (row == nullptr) return not_read(scheme.method);
  scheme.skipped = skipped_modules(j);
  scheme.find = row->parse(j);
  RETURN_IF_ERROR(j.status());
  const std::vector<std::string> unread = j.unread();
  if (unread.empty()) return scheme;
  return absl::UnimplementedError(
      absl::StrCat(unread[0], ": this key is not known for ", scheme.method, " and may change how weights are read"));
}

}  // namespace polymath::weights
