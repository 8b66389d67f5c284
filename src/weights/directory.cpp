#include "weights/directory.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json.h"
#include "base/log.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kEnding = ".safetensors";
constexpr std::string_view kPickleEndings[] = {".bin", ".pt", ".pth", ".pkl", ".ckpt"};
constexpr size_t kNamesShown = 8;  // of a list in a message; the rest is counted

std::string some_of(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kNamesShown);
  std::vector<std::string> head;
  for (size_t i = 0; i < shown; ++i) head.push_back(shown_name(names[i]));
  return absl::StrCat(absl::StrJoin(head, ", "),
                      names.size() > shown ? absl::StrCat(" and ", names.size() - shown, " more") : "");
}

std::string path_in(const std::string& directory, std::string_view name) {
  return (fs::path(directory) / fs::path(std::string(name))).string();
}

bool contains(const std::vector<std::string>& sorted, std::string_view name) {
  return std::binary_search(sorted.begin(), sorted.end(), std::string(name));
}

std::vector<std::string> ending_in(const std::vector<std::string>& names, std::string_view ending) {
  std::vector<std::string> out;
  std::copy_if(names.begin(), names.end(), std::back_inserter(out), [&](const auto& n) { return n.ends_with(ending); });
  return out;
}

// Names of an index become paths, so they must be plain file names.
absl::Status check_shard_name(const std::string& index_path, std::string_view name) {
  const bool plain = name.find_first_of(std::string_view("/\\\0", 3)) == name.npos && name.find("..") == name.npos &&
                     !name.starts_with('.') && name.ends_with(kEnding);
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(index_path, ": ", shown_name(name),
                                                 " is not a file name that a shard may have (*.safetensors, no path)"));
}

// "model-00002-of-00005.safetensors" -> 5.
std::optional<int> shards_said_by(std::string_view name) {
  const size_t of = name.rfind("-of-");
  if (of == name.npos || !name.ends_with(kEnding)) return std::nullopt;
  const std::string_view digits = name.substr(of + 4, name.size() - kEnding.size() - of - 4);
  int n = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (error != std::errc() || end != digits.data() + digits.size() || n < 1) return std::nullopt;
  return n;
}

// Without an index, the shards' names say how many there are.
absl::Status check_complete(const std::string& directory, const std::vector<std::string>& shards) {
  std::map<std::string, std::pair<int, int>> found;  // "model-", 5 -> how many of how many
  for (const std::string& name : shards) {
    const std::optional<int> said = shards_said_by(name);
    if (!said) continue;
    const std::string series = name.substr(0, name.rfind('-', name.rfind("-of-") - 1) + 1);
    auto& [count, total] = found[absl::StrCat(series, "*-of-", *said)];
    ++count;
    total = *said;
  }
  for (const auto& [series, n] : found) {
    if (n.first >= n.second) continue;
    return absl::NotFoundError(absl::StrCat(directory, ": only ", n.first, " of the ", n.second, " files ",
                                            shown_name(series + std::string(kEnding)), " are here"));
  }
  return absl::OkStatus();
}

absl::Status no_weights(const std::string& directory, const std::vector<std::string>& names) {
  std::vector<std::string> pickles;
  for (const std::string_view ending : kPickleEndings) {
    const auto some = ending_in(names, ending);
    pickles.insert(pickles.end(), some.begin(), some.end());
  }
  if (!pickles.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory, ": its weights are pickle files, which can run code when they are read and are refused: ",
        some_of(pickles), "; convert them to safetensors"));
  }
  if (const auto gguf = ending_in(names, ".gguf"); !gguf.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": its weights are GGUF: name one of its files instead: ", some_of(gguf)));
  }
  return absl::NotFoundError(absl::StrCat(directory, ": no weights: no *.safetensors file is in this directory"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> list_files(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator at(directory, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    std::error_code ignored;  // a link that leads nowhere is no file
    if (at->is_regular_file(ignored)) names.push_back(at->path().filename().string());
  }
  if (error) return absl::NotFoundError(absl::StrCat(directory, ": cannot be listed: ", error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<WeightFiles> parse_index(const base::JsonValue& root, const std::string& directory,
                                        const std::vector<std::string>& names, const CheckpointLimits& limits) {
  const std::string index_path = path_in(directory, kIndex);
  const auto* document = root.if_object();
  const auto* map = document == nullptr ? nullptr : document->if_contains("weight_map");
  if (map == nullptr || !map->is_object() || map->get_object().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": weight_map: must be an object that names tensors"));
  }
  if (map->get_object().size() > limits.tensors_max) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": more than ", limits.tensors_max, " tensors"));
  }
  WeightFiles files;
  std::map<std::string, bool> shards;  // name -> is there
  for (const auto& [key, value] : map->get_object()) {
    const std::string tensor(key.data(), key.size());
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": weight_map.", shown_name(tensor), ": must be a string"));
    }
    std::string_view shard_text(value.get_string().data(), value.get_string().size());
    while (shard_text.starts_with("./")) shard_text.remove_prefix(2);
    const std::string shard(shard_text);
    RETURN_IF_ERROR(check_shard_name(index_path, shard));
    shards.emplace(shard, contains(names, shard));
    files.index.emplace_back(tensor, path_in(directory, shard));
  }
  std::vector<std::string> missing;
  for (const auto& [shard, present] : shards) {
    if (!present) missing.push_back(shard);
    files.paths.push_back(path_in(directory, shard));
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat(index_path, ": ", missing.size(), " of ", shards.size(),
                                            " shards are missing: ", some_of(missing)));
  }
  return files;
}

absl::StatusOr<WeightFiles> find_weight_files(const std::string& directory, const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, list_files(directory));
  if (contains(names, kSingle)) return WeightFiles{{path_in(directory, kSingle)}, {}};
  WeightFiles files;
  if (contains(names, kIndex)) {
    ASSIGN_OR_RETURN(const base::JsonValue root,
                     base::read_json_file(path_in(directory, kIndex), {.bytes_max = limits.header_bytes_max}));
    ASSIGN_OR_RETURN(files, parse_index(root, directory, names, limits));
  } else {
    std::vector<std::string> found = ending_in(names, kEnding);
    if (found.empty()) return no_weights(directory, names);
    // Some directories hold a model twice. The other copy has other tensor names.
    const auto ours = [](const std::string& n) { return n.starts_with("model"); };
    if (std::any_of(found.begin(), found.end(), ours)) {
      std::erase_if(found, [](const std::string& n) { return n.starts_with("consolidated"); });
    }
    RETURN_IF_ERROR(check_complete(directory, found));
    for (const std::string& name : found) files.paths.push_back(path_in(directory, name));
  }
  if (files.paths.size() > static_cast<size_t>(limits.shards_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": ", files.paths.size(), " weight files; at most ", limits.shards_max, " are read"));
  }
  return files;
}

std::vector<std::string> code_in(const std::string& directory) {
  std::vector<std::string> out;
  if (const auto names = list_files(directory); names.ok()) out = ending_in(*names, ".py");
  const auto config =
      base::read_json_file(path_in(directory, "config.json"), {.bytes_max = 16u << 20, .non_finite = true});
  if (config.ok() && config->is_object() && config->get_object().contains("auto_map")) {
    out.push_back("config.json: auto_map");
  }
  return out;
}

void warn_about_code(const std::string& directory) {
  const std::vector<std::string> code = code_in(directory);
  if (code.empty()) return;
  base::log_info("weights", directory, ": the code that comes with this model is never run: ", some_of(code));
}

}  // namespace polymath::weights
