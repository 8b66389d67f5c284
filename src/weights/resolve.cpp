// Finds the directory or GGUF file that --model names. Nothing is downloaded.
// Source: the cache's layout, https://huggingface.co/docs/huggingface_hub/guides/manage-cache.

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/read_file.h"
#include "weights/checkpoint.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultRevision = "main";
constexpr size_t kCommitBytesMax = 200;  // of refs/<revision>; a longer one is no commit, and not found

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Every cache that the environment names, each once, in the order of search.
std::vector<fs::path> cache_directories() {
  std::vector<fs::path> out;
  const auto add = [&](const std::string& base, std::string_view below) {
    if (base.empty()) return;
    fs::path path = below.empty() ? fs::path(base) : fs::path(base) / below;
    if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(std::move(path));
  };
  add(setting("HF_HUB_CACHE"), "");
  add(setting("HUGGINGFACE_HUB_CACHE"), "");
  add(setting("HF_HOME"), "hub");
  add(setting("XDG_CACHE_HOME"), "huggingface/hub");
  add(setting("HOME"), ".cache/huggingface/hub");
  return out;
}

// One part of a repository's name, or of a revision.
bool is_plain_name(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !part.empty() && part.size() <= 200 && part != "." && part.find("..") == part.npos &&
         std::all_of(part.begin(), part.end(), allowed);
}

// "org/name" or "name" -> "models--org--name"; empty: not the name of a repository.
std::string cache_folder(std::string_view model) {
  const size_t slash = model.find('/');
  const std::string_view first = model.substr(0, slash);
  if (!is_plain_name(first)) return "";
  if (slash == model.npos) return absl::StrCat("models--", std::string(first));
  const std::string_view second = model.substr(slash + 1);
  if (!is_plain_name(second)) return "";
  return absl::StrCat("models--", std::string(first), "--", std::string(second));
}

// The commit in refs/<revision>. Without that file: the revision, which may be a commit.
std::string commit_of(const fs::path& folder, const std::string& revision) {
  const auto text = base::read_file((folder / "refs" / revision).string(), kCommitBytesMax);
  if (!text.ok() || text->empty()) return revision;
  std::string commit = *text;
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
  return commit;
}

absl::StatusOr<std::string> existing_path(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  const std::string ending = fs::path(path).extension().string();
  if (ending == ".gguf") return path;
  for (const char* pickle : {".bin", ".pt", ".pth", ".pkl", ".ckpt"}) {
    if (ending != pickle) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": a pickle file, which can run code when it is read, is refused; convert the model to safetensors"));
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": is a file, and no *.gguf; give the model's directory"));
}

absl::Status not_found(const std::string& model, const std::string& revision, const std::vector<std::string>& looked) {
  const bool other = revision != kDefaultRevision;
  return absl::NotFoundError(absl::StrCat("no model ", shown_name(model), " is on this machine; looked at ",
                                          absl::StrJoin(looked, ", "), ". To get it: huggingface-cli download ", model,
                                          other ? absl::StrCat(" --revision ", revision) : ""));
}

}  // namespace

absl::StatusOr<std::string> resolve_model(std::string_view model, std::string_view revision) {
  const std::string name(model);
  const std::string wanted(revision.empty() ? kDefaultRevision : revision);
  if (name.empty() || name.find('\0') != name.npos) return absl::InvalidArgumentError("the model has no name");
  std::error_code ignored;
  if (fs::exists(name, ignored)) return existing_path(name);

  const std::string folder = cache_folder(model);
  if (folder.empty()) {
    return absl::NotFoundError(
        absl::StrCat(shown_name(model), ": no such directory, and not a name as org/name is ([A-Za-z0-9._-])"));
  }
  if (!is_plain_name(wanted)) {
    return absl::InvalidArgumentError(
        absl::StrCat("revision ", shown_name(wanted), ": only [A-Za-z0-9._-] may stand in it"));
  }
  std::vector<std::string> looked = {name};
  for (const fs::path& cache : cache_directories()) {
    const std::string commit = commit_of(cache / folder, wanted);
    const fs::path snapshot = cache / folder / "snapshots" / commit;
    if (is_plain_name(commit) && fs::is_directory(snapshot, ignored)) return snapshot.string();
    looked.push_back((cache / folder / "snapshots" / wanted).string());
  }
  return not_found(name, wanted, looked);
}

}  // namespace polymath::weights
