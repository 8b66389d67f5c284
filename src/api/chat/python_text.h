#pragma once

// Values as Python writes them, for prompts that its tokenizers would have made.
// Thread safety: all functions are pure.

#include <string>

#include "base/json.h"

namespace polymath::api {

// json.dumps(value, ensure_ascii=False): blanks behind commas and colons.
std::string python_json(const base::JsonValue& value);

// str(value): True, None, 2.5, ['a'].
std::string python_text(const base::JsonValue& value);

}  // namespace polymath::api
