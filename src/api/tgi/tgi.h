#pragma once

// Text Generation Inference's API (TGI 3.3.5): POST /generate and POST / without streaming.

#include "api/dialects.h"

namespace polymath::api {

extern const Dialect kTgiDialect;

}  // namespace polymath::api
