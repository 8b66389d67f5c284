#pragma once

// What a hub says of a repository: its commit and its files. Pure; nothing a hub sends is trusted.
//
// Source: the Hugging Face Hub's API, /api/models/{name}/revision/{revision} and /tree/{commit}.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/pull/checksum.h"

namespace polymath::commands {

inline constexpr size_t kListingBytesMax = 16 << 20;         // of one answer; longer: kResourceExhausted
inline constexpr size_t kHubFilesMax = 20000;                // of a repository; more: kResourceExhausted
inline constexpr uint64_t kHubFileBytesMax = 1ull << 46;     // of one file; larger: kInvalidArgument
inline constexpr size_t kHubPathBytesMax = 1024;             // of a file's name; longer: kInvalidArgument
inline constexpr size_t kHubPathPartBytesMax = 255 - 1 - 8;  // of one part, as file systems have it; longer: the same

struct HubFile {
  std::string path;      // relative, checked: no "..", nothing empty, no control characters
  uint64_t size = 0;     // bytes
  std::string checksum;  // hexadecimal; the blob's name in the cache, too
  Checksum::Kind kind = Checksum::Kind::kGitBlob;
};

// kInvalidArgument: it could leave the snapshot's directory, or is longer than file systems take.
absl::Status check_hub_path(std::string_view path);

// The commit that a revision is, of the answer's "sha": 40 digits. kInvalidArgument: another answer.
absl::StatusOr<std::string> parse_commit(std::string_view text);

// Adds the files of one page of a tree; directories are skipped. kInvalidArgument: no listing, or a file that is
// refused, which the message names. kResourceExhausted: too many.
absl::Status add_listing_page(std::string_view text, std::vector<HubFile>& files);

// Sorts them by name. kInvalidArgument: a name occurs twice, or is a directory, too.
absl::Status finish_listing(std::vector<HubFile>& files);

// The target of rel="next" in a Link header; empty: there is none.
std::string next_page(std::string_view link);

}  // namespace polymath::commands
