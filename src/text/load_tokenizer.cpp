// A model directory -> Tokenizer.

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json.h"
#include "base/read_file.h"
#include "text/tokenizer.h"

namespace polymath::text {
namespace {

using Made = absl::StatusOr<std::unique_ptr<Tokenizer>>;

Made parse_json_file(const TokenizerFile& file, std::string_view config, const TokenizerLimits& limits) {
  return parse_tokenizer_json(file.text, config, limits);
}

// Llama 3 and its kin put a tiktoken file under SentencePiece's name.
Made parse_model_file(const TokenizerFile& file, std::string_view config, const TokenizerLimits& limits) {
  if (is_tiktoken(file.text)) return parse_tiktoken(file, config, limits);
  return parse_sentencepiece_model(file.text, config, limits);
}

// In order of preference; a name may have one star.
struct FileKind {
  std::string_view name;
  Made (*parse)(const TokenizerFile& file, std::string_view config, const TokenizerLimits& limits);
};
constexpr FileKind kFileKinds[] = {
    {"tokenizer.json", parse_json_file},      {"tekken.json", parse_tekken},  {"tekken*.json", parse_tekken},
    {"tiktoken.model", parse_tiktoken},       {"*.tiktoken", parse_tiktoken}, {"tokenizer.model", parse_model_file},
    {"tokenizer.model.v*", parse_model_file},
};

// Empty: there is no such file.
absl::StatusOr<std::string> read_file(const std::string& path, const TokenizerLimits& limits) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::string();
  ASSIGN_OR_RETURN(std::string text, base::read_file(path, limits.file_bytes_max));
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": is empty"));
  return text;
}

// Null: there is no such file.
absl::StatusOr<base::JsonValue> read_object(const std::string& directory, const char* name,
                                            const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const std::string text, read_file(absl::StrCat(directory, "/", name), limits));
  if (text.empty()) return base::JsonValue();
  auto json = base::parse_json(text, {.bytes_max = limits.file_bytes_max});
  if (!json.ok() || !json->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", json.ok() ? "must be an object" : json.status().message()));
  }
  return json;
}

bool matches(std::string_view name, std::string_view kind) {
  const size_t star = kind.find('*');
  if (star == std::string_view::npos) return name == kind;
  return name.size() >= kind.size() && name.starts_with(kind.substr(0, star)) && name.ends_with(kind.substr(star + 1));
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string looked_for() {
  std::string names;
  for (const FileKind& kind : kFileKinds) absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(kind.name));
  return names;
}

struct FoundFile {
  std::string name;
  const FileKind* kind;
};

absl::StatusOr<FoundFile> find_file(const std::string& directory) {
  const std::vector<std::string> names = names_in(directory);
  const auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const bool mistral = has("params.json") && !has("config.json") && has("tekken.json");
  for (const FileKind& kind : kFileKinds) {
    if (mistral && kind.parse != parse_tekken) continue;
    std::vector<std::string> found;
    std::copy_if(names.begin(), names.end(), std::back_inserter(found),
                 [&](const std::string& name) { return matches(name, kind.name); });
    if (found.size() == 1) return FoundFile{found.front(), &kind};
    if (found.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(directory, ": has ", absl::StrJoin(found, ", "), "; one of them must be left"));
    }
  }
  return absl::NotFoundError(absl::StrCat(directory, ": has no tokenizer; looked for ", looked_for()));
}

}  // namespace

// As transformers' from_pretrained(), which lets the older map win.
absl::StatusOr<base::JsonValue> read_tokenizer_config(const std::string& directory, const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const base::JsonValue config, read_object(directory, "tokenizer_config.json", limits));
  base::JsonObject joined = config.is_object() ? config.get_object() : base::JsonObject();
  if (joined.contains("added_tokens_decoder")) return base::JsonValue(std::move(joined));
  ASSIGN_OR_RETURN(const base::JsonValue map, read_object(directory, "special_tokens_map.json", limits));
  if (map.is_object()) {
    for (const auto& member : map.get_object()) joined[member.key()] = member.value();
  }
  ASSIGN_OR_RETURN(base::JsonValue added, read_object(directory, "added_tokens.json", limits));
  if (added.is_object()) joined["added_tokens_encoder"] = std::move(added);
  return base::JsonValue(std::move(joined));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& directory, const TokenizerLimits& limits) {
  const auto in_directory = [&](const absl::Status& status) {
    if (absl::StrContains(status.message(), directory)) return status;
    return absl::Status(status.code(), absl::StrCat(directory, "/", status.message()));
  };
  ASSIGN_OR_RETURN(const FoundFile found, find_file(directory));
  const auto config = read_tokenizer_config(directory, limits);
  if (!config.ok()) return in_directory(config.status());
  ASSIGN_OR_RETURN(const std::string text, read_file(absl::StrCat(directory, "/", found.name), limits));
  auto tokenizer = found.kind->parse({found.name, text}, base::to_text(*config), limits);
  if (!tokenizer.ok()) return in_directory(tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
