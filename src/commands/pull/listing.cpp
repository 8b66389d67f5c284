#include "commands/pull/listing.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/printable.h"

namespace polymath::commands {
namespace {

constexpr base::JsonLimits kJsonLimits{.depth_max = 16, .bytes_max = kListingBytesMax};
constexpr size_t kShownBytes = 200;

std::string shown(std::string_view text) {
  return absl::StrCat("`", base::printable(text.substr(0, kShownBytes)), "`");
}

absl::StatusOr<HubFile> parse_file(base::JsonReader& j) {
  HubFile file{.path = j.s("path"), .checksum = j.s("oid", "")};
  int64_t size = j.i64("size", 0);
  if (j.has("lfs")) {
    base::JsonReader lfs = j.object("lfs");
    file.kind = Checksum::Kind::kSha256;
    file.checksum = lfs.s("oid");
    size = lfs.i64("size", size);
  }
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_hub_path(file.path));
  if (size < 0 || static_cast<uint64_t>(size) > kHubFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(shown(file.path), " has a size of ", size, " bytes"));
  }
  file.size = static_cast<uint64_t>(size);
  const bool large = file.kind == Checksum::Kind::kSha256;
  if (!is_hex(file.checksum, large ? kSha256Digits : kSha1Digits)) {
    return absl::InvalidArgumentError(
        absl::StrCat(shown(file.path), " has no ", large ? "sha256" : "git sha1", " but ", shown(file.checksum)));
  }
  return file;
}

}  // namespace

absl::Status check_hub_path(std::string_view path) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("the file name ", shown(path), " is refused: ", std::string(why)));
  };
  if (path.empty() || path.size() > kHubPathBytesMax) return refuse("1 to 1024 bytes are allowed");
  if (path.starts_with('/')) return refuse("it is absolute");
  const bool controls = std::any_of(path.begin(), path.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (controls || path.find('\\') != path.npos) return refuse("it has a control character or a backslash");
  const std::vector<std::string> parts = absl::StrSplit(std::string(path), '/');
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == "..") return refuse("a part of it is empty, . or ..");
    if (part.size() > kHubPathPartBytesMax) return refuse("a part of it is too long");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> parse_commit(std::string_view text) {
  ASSIGN_OR_RETURN(const base::JsonValue root, base::parse_json(text, kJsonLimits));
  if (!root.is_object()) return absl::InvalidArgumentError("the hub's answer is no object");
  base::JsonReader j(root);
  const std::string commit = j.s("sha");
  RETURN_IF_ERROR(j.status());
  if (!is_hex(commit, kSha1Digits)) return absl::InvalidArgumentError(absl::StrCat(shown(commit), " is no commit"));
  return commit;
}

absl::Status add_listing_page(std::string_view text, std::vector<HubFile>& files) {
  ASSIGN_OR_RETURN(const base::JsonValue root, base::parse_json(text, kJsonLimits));
  if (!root.is_array()) return absl::InvalidArgumentError("the hub's listing is no array");
  for (const base::JsonValue& entry : root.get_array()) {
    if (!entry.is_object()) return absl::InvalidArgumentError("an entry of the hub's listing is no object");
    base::JsonReader j(entry);
    const std::string type = j.s("type");
    RETURN_IF_ERROR(j.status());
    if (type != "file") continue;
    if (files.size() == kHubFilesMax) {
      return absl::ResourceExhaustedError(absl::StrCat("the repository has more than ", kHubFilesMax, " files"));
    }
    ASSIGN_OR_RETURN(HubFile file, parse_file(j));
    files.push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status finish_listing(std::vector<HubFile>& files) {
  std::sort(files.begin(), files.end(), [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  const auto by_path = [](const HubFile& file, std::string_view path) { return file.path < path; };
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string folder = files[i].path + "/";
    const auto inside = std::lower_bound(files.begin(), files.end(), std::string_view(folder), by_path);
    const bool is_folder = inside != files.end() && inside->path.starts_with(folder);
    if (is_folder || (i > 0 && files[i - 1].path == files[i].path)) {
      return absl::InvalidArgumentError(absl::StrCat("the hub lists ", shown(files[i].path), " twice"));
    }
  }
  return absl::OkStatus();
}

// <https://host/path?cursor=x>; rel="next", <...>; rel="last"
std::string next_page(std::string_view link) {
  while (true) {
    const size_t begin = link.find('<');
    const size_t end = begin == link.npos ? link.npos : link.find('>', begin);
    if (end == link.npos) return "";
    const std::string_view parameters = link.substr(end + 1, link.find('<', end) - end - 1);
    const bool next = parameters.find("rel=\"next\"") != link.npos || parameters.find("rel=next") != link.npos;
    if (next) return std::string(link.substr(begin + 1, end - begin - 1));
    link.remove_prefix(end + 1);
  }
}

}  // namespace polymath::commands
