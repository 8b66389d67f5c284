#pragma once

// Under which salt a request's prompt shares cached prefixes.

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace polymath::api {

// A client that could share prefixes with another would see from `cached_tokens` what the other has sent. So the
// client's name is part of the salt unless all clients trust each other (`shared`). The length keeps name and salt
// apart.
inline std::string prefix_salt(std::string_view principal, std::string_view cache_salt, bool shared) {
  if (shared) return std::string(cache_salt);
  return absl::StrCat(principal.size(), ":", std::string(principal), std::string(cache_salt));
}

}  // namespace polymath::api
