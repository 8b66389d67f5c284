#pragma once

// TGI's answer to POST /generate as JSON: {"generated_text", "details"}. A pure function of what was generated.

#include <cstdint>
#include <string>
#include <vector>

#include "api/collecting_writer.h"
#include "api/served_model.h"
#include "api/tgi/request.h"
#include "base/json.h"

namespace polymath::api {

struct TgiAnswer {
  TgiAnswerOptions options;
  std::string inputs;           // under options.full_text
  std::vector<int32_t> prompt;  // ids
  uint64_t seed = 0;
};

// Without details: {"generated_text"}. Token texts are as text/token_texts.h has them.
base::JsonObject tgi_answer(const TgiAnswer& answer, const ServedModel& model, const CollectedChoice& choice);

}  // namespace polymath::api
