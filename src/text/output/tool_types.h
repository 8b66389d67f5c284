#pragma once

// Which parameters of which functions are strings, for formats that write values without quotes.
//
// Thread safety: const after it was filled.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace polymath::text {

enum class ParameterType : uint8_t {
  kUnknown,  // the function or its parameter is not declared
  kString,
  kOther,  // a number, a boolean, null, an array, an object, or one of several types
};

class ToolTypes {
 public:
  void add(std::string_view function, std::string_view parameter, ParameterType type) {
    types_[key(function, parameter)] = type;
  }
  ParameterType of(std::string_view function, std::string_view parameter) const {
    const auto found = types_.find(key(function, parameter));
    return found == types_.end() ? ParameterType::kUnknown : found->second;
  }

 private:
  static std::string key(std::string_view function, std::string_view parameter) {
    return absl::StrCat(std::string(function), std::string(1, '\0'), std::string(parameter));
  }
  absl::flat_hash_map<std::string, ParameterType> types_;
};

}  // namespace polymath::text
