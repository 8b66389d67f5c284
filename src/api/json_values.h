#pragma once

// JSON values that the requests and answers of several dialects share.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// Ids of a JSON array, each in [0, vocab). kInvalidArgument names `field`.
absl::StatusOr<std::vector<int32_t>> parse_ids(const base::JsonValue& value, std::string_view field, int vocab);

// True if a field of this value asks for nothing: null, false, empty, or equal to `neutral` (JSON; empty: none).
bool asks_nothing(const base::JsonValue& value, std::string_view neutral);

base::JsonArray ids_json(const std::vector<int32_t>& ids);
boost::json::string text_json(std::string_view text);
// The shortest decimal that reads back as this float; minus infinity: -9999, as vLLM writes it.
double logprob_json(float logprob);

}  // namespace polymath::api
