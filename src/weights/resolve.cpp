// Finds the directory or GGUF file that --model names. Nothing is downloaded.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/checkpoint.h"
#include "weights/gguf_parts.h"
#include "weights/hub_cache.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

namespace fs = std::filesystem;

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
                                          absl::StrJoin(looked, ", "), ". To get it: polymath pull ", model,
                                          other ? absl::StrCat(" --revision ", revision) : ""));
}

// Every regular file below a snapshot, relative to it. Links are followed, for files alone.
std::vector<std::string> files_below(const fs::path& snapshot) {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator at(snapshot, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) names.push_back(at->path().lexically_relative(snapshot).string());
  }
  return names;
}

// The snapshot, or the GGUF file of `quant` in it; empty: there is none.
absl::StatusOr<std::string> model_in(const fs::path& snapshot, const std::string& quant) {
  std::error_code ignored;
  if (!fs::is_directory(snapshot, ignored)) return "";
  if (quant.empty()) return snapshot.string();
  std::vector<std::string> fitting;
  for (const std::string& name : gguf_models(files_below(snapshot))) {
    if (gguf_has_quant(name, quant)) fitting.push_back((snapshot / name).string());
  }
  if (fitting.size() < 2) return fitting.empty() ? "" : fitting[0];
  return absl::InvalidArgumentError(
      absl::StrCat("several GGUF models are in ", quant, ": ", absl::StrJoin(fitting, ", ")));
}

}  // namespace

absl::StatusOr<std::string> resolve_model(std::string_view model, std::string_view revision) {
  const std::string name(model);
  const std::string wanted(revision.empty() ? kDefaultRevision : revision);
  if (name.empty() || name.find('\0') != name.npos) return absl::InvalidArgumentError("the model has no name");
  std::error_code ignored;
  if (fs::exists(name, ignored)) return existing_path(name);

  const HubName hub = parse_hub_name(model);
  const std::string folder = hub_folder(hub.repository);
  if (folder.empty()) {
    return absl::NotFoundError(
        absl::StrCat(shown_name(model), ": no such directory, and not a name as org/name is ([A-Za-z0-9._-])"));
  }
  if (!is_plain_name(wanted)) {
    return absl::InvalidArgumentError(
        absl::StrCat("revision ", shown_name(wanted), ": only [A-Za-z0-9._-] may stand in it"));
  }
  std::vector<std::string> looked = {name};
  for (const fs::path& cache : hub_caches()) {
    const std::string commit = hub_commit(cache / folder, wanted);
    if (is_plain_name(commit)) {
      ASSIGN_OR_RETURN(const std::string found, model_in(cache / folder / "snapshots" / commit, hub.quant));
      if (!found.empty()) return found;
    }
    looked.push_back((cache / folder / "snapshots" / wanted).string());
  }
  return not_found(name, wanted, looked);
}

}  // namespace polymath::weights
