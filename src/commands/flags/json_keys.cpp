#include "commands/flags/json_keys.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::commands {

absl::Status check_keys(const base::JsonObject& object, std::span<const std::string_view> known) {
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat("there is no key `", std::string(key.substr(0, 64)), "`"));
  }
  return absl::OkStatus();
}

}  // namespace polymath::commands
