// A model directory -> Tokenizer.

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace polymath::text {
namespace {

// Empty: there is no such file.
absl::StatusOr<std::string> read_file(const std::string& path, const TokenizerLimits& limits) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::string();
  const auto size = std::filesystem::file_size(path, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.message()));
  if (size > limits.file_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", size, " bytes; at most ", limits.file_bytes_max));
  }
  std::string text(size, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in || (size > 0 && !in.read(text.data(), static_cast<std::streamsize>(size)))) {
    return absl::DataLossError(absl::StrCat(path, ": cannot be read"));
  }
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": is empty"));
  return text;
}

// tokenizer_config.json, and what only special_tokens_map.json says.
absl::StatusOr<std::string> read_config(const std::string& directory, const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const std::string config, read_file(directory + "/tokenizer_config.json", limits));
  ASSIGN_OR_RETURN(const std::string map, read_file(directory + "/special_tokens_map.json", limits));
  if (map.empty()) return config;
  auto extra = base::parse_json(map, {.bytes_max = limits.file_bytes_max});
  if (!extra.ok() || !extra->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("special_tokens_map.json: ", extra.ok() ? "must be an object" : extra.status().message()));
  }
  if (config.empty()) return map;
  auto joined = base::parse_json(config, {.bytes_max = limits.file_bytes_max});
  if (!joined.ok() || !joined->is_object()) return config;  // its reader names the error
  for (const auto& member : extra->get_object()) {
    if (!joined->get_object().contains(member.key())) joined->get_object()[member.key()] = member.value();
  }
  return base::to_text(*joined);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& directory, const TokenizerLimits& limits) {
  const auto in_directory = [&](const absl::Status& status) {
    if (absl::StrContains(status.message(), directory)) return status;
    return absl::Status(status.code(), absl::StrCat(directory, "/", status.message()));
  };
  auto config = read_config(directory, limits);
  if (!config.ok()) return in_directory(config.status());
  ASSIGN_OR_RETURN(const std::string json, read_file(directory + "/tokenizer.json", limits));
  if (!json.empty()) {
    auto tokenizer = parse_tokenizer_json(json, *config, limits);
    if (!tokenizer.ok()) return in_directory(tokenizer.status());
    return tokenizer;
  }
  ASSIGN_OR_RETURN(const std::string model, read_file(directory + "/tokenizer.model", limits));
  if (model.empty()) {
    return absl::NotFoundError(absl::StrCat(directory, ": has neither tokenizer.json nor tokenizer.model"));
  }
  auto tokenizer = parse_sentencepiece_model(model, *config, limits);
  if (!tokenizer.ok()) return in_directory(tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
