#pragma once

// Errors of the chat's parser in the words of a dialect whose requests it reads.
//
// Thread safety: pure.

#include <span>
#include <string_view>

#include "base/status.h"

namespace polymath::api {

struct FieldName {
  std::string_view chat, own;
};

// The same complaint about the dialect's own field. A status that names another field, or none, stays.
absl::Status in_own_words(const absl::Status& status, std::span<const FieldName> names);

}  // namespace polymath::api
