#pragma once

// Every field that OpenAI's clients are known to send, and its treatment. A test compares this table with
// docs/reference/api.md.

#include <cstdint>
#include <span>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

enum class Endpoint : uint8_t { kCompletions = 1, kChat = 2, kCount = 2 };

enum class Treatment {
  kUsed,     // read by openai/request.cpp
  kIgnored,  // has no effect here, by definition
  kRefused,  // 501 unless it is null, empty, false or `neutral`
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

// kUnimplemented that names the first field asked for and not built. Unknown fields are logged at debug level.
absl::Status check_fields(const base::JsonObject& request, Endpoint endpoint);

}  // namespace polymath::api
