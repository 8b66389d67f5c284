#pragma once

// Every field that OpenAI's clients are known to send, and its treatment. A test compares this table with
// docs/reference/api.md.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

enum class Endpoint : uint8_t { kCompletions = 1, kChat = 2, kCount = 2 };

enum class Treatment {
  kUsed,     // read by openai/request.cpp
  kIgnored,  // has no effect here, by definition
  kRefused,  // 400 unless it is null, empty, false or `neutral`
  kCount,
};

struct Field {
  std::string_view name;
  uint8_t endpoints = 3;  // Endpoint bits
  Treatment treatment = Treatment::kUsed;
  std::string_view neutral;  // kRefused: JSON of the value that asks for nothing
  std::string_view note;     // for the documentation; kRefused: part of the answer's sentence
};

std::span<const Field> openai_fields();

inline constexpr size_t kUnknownFieldsMax = 16;      // of one request; the others are not named
inline constexpr size_t kUnknownFieldBytesMax = 64;  // a longer name is cut

// kUnimplemented that names the first field asked for and not built. Appends the names of unknown fields.
absl::Status check_fields(const base::JsonObject& request, Endpoint endpoint, std::vector<std::string>& unknown);

}  // namespace polymath::api
