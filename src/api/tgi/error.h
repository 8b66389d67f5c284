#pragma once

// The error body of Text Generation Inference (TGI 3.3.5), and its HTTP statuses.
//
//   422 {"error": "Input validation error: `inputs` ...", "error_type": "validation"}

#include "api/status.h"

namespace polymath::api {

// kAborted is TGI's "incomplete generation": the server stopped before the answer ended.
ErrorReply tgi_error(const Failure& failure);

}  // namespace polymath::api
