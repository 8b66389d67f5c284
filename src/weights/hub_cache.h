#pragma once

// The local caches of the Hugging Face hub, and the names in them. A cache is:
//
//   models--org--name/refs/<revision>              a commit
//   models--org--name/snapshots/<commit>/<file>    a link to a blob
//   models--org--name/blobs/<checksum>             a file's contents
//
// Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::weights {

inline constexpr std::string_view kDefaultRevision = "main";

// Every cache that the environment names, each once, in the order of search; resolve_model() lists the variables.
// New files go to the first. Empty: the environment has not even HOME.
std::vector<std::filesystem::path> hub_caches();

// Where tokens are kept: HF_HOME, XDG_CACHE_HOME/huggingface or ~/.cache/huggingface. Empty: as above.
std::filesystem::path hub_home();

// A part of a repository's name, a revision or a quantisation: [A-Za-z0-9._-] without "..".
bool is_plain_name(std::string_view part);

// "org/name:QUANT" names the GGUF model of a repository in one quantisation.
struct HubName {
  std::string repository;
  std::string quant;  // empty: none is named
};
HubName parse_hub_name(std::string_view model);

// "org/name" or "name" -> "models--org--name"; empty: not the name of a repository.
std::string hub_folder(std::string_view repository);

// The commit in refs/<revision>. Without that file: the revision, which may be a commit.
std::string hub_commit(const std::filesystem::path& folder, const std::string& revision);

}  // namespace polymath::weights
