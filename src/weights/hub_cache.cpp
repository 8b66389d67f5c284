#include "weights/hub_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/read_file.h"

namespace polymath::weights {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCommitBytesMax = 200;  // of refs/<revision>; a longer one is no commit, and not found

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A variable that no shell expanded, as in a container's manifest.
std::string directory_setting(const char* name) {
  std::string value = setting(name);
  if (value.starts_with("~/")) value = setting("HOME") + value.substr(1);
  return value;
}

}  // namespace

std::vector<fs::path> hub_caches() {
  std::vector<fs::path> out;
  const auto add = [&](const std::string& base, std::string_view below) {
    if (base.empty()) return;
    fs::path path = below.empty() ? fs::path(base) : fs::path(base) / below;
    if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(std::move(path));
  };
  add(directory_setting("HF_HUB_CACHE"), "");
  add(directory_setting("HUGGINGFACE_HUB_CACHE"), "");
  add(directory_setting("HF_HOME"), "hub");
  add(directory_setting("XDG_CACHE_HOME"), "huggingface/hub");
  add(setting("HOME"), ".cache/huggingface/hub");
  return out;
}

fs::path hub_home() {
  if (const std::string own = directory_setting("HF_HOME"); !own.empty()) return own;
  if (const std::string caches = directory_setting("XDG_CACHE_HOME"); !caches.empty())
    return fs::path(caches) / "huggingface";
  const std::string home = setting("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache/huggingface";
}

bool is_plain_name(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  return !part.empty() && part.size() <= 200 && part != "." && part.find("..") == part.npos &&
         std::all_of(part.begin(), part.end(), allowed);
}

HubName parse_hub_name(std::string_view model) {
  const size_t colon = model.rfind(':');
  if (colon == model.npos || !is_plain_name(model.substr(colon + 1))) return {.repository = std::string(model)};
  return {.repository = std::string(model.substr(0, colon)), .quant = std::string(model.substr(colon + 1))};
}

std::string hub_folder(std::string_view repository) {
  const size_t slash = repository.find('/');
  const std::string_view first = repository.substr(0, slash);
  if (!is_plain_name(first)) return "";
  if (slash == repository.npos) return absl::StrCat("models--", std::string(first));
  const std::string_view second = repository.substr(slash + 1);
  if (!is_plain_name(second)) return "";
  return absl::StrCat("models--", std::string(first), "--", std::string(second));
}

std::string hub_commit(const fs::path& folder, const std::string& revision) {
  const auto text = base::read_file((folder / "refs" / revision).string(), kCommitBytesMax);
  if (!text.ok() || text->empty()) return revision;
  std::string commit = *text;
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) commit.pop_back();
  return commit;
}

}  // namespace polymath::weights
