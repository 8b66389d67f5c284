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

// True if a field with this value has no effect: it is null, empty, false, or equal to `neutral`.
// `neutral`: JSON text, or empty. Where it is "true", false does have an effect.
bool asks_nothing(const base::JsonValue& value, std::string_view neutral);

base::JsonArray ids_json(const std::vector<int32_t>& ids);
boost::json::string text_json(std::string_view text);
// The shortest decimal that reads back as this float; minus infinity becomes -9999, as in vLLM.
double logprob_json(float logprob);

}  // namespace polymath::api
