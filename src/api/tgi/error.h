#pragma once

// The error body of Text Generation Inference (TGI 3.3.5), and its HTTP statuses.
//
//   422 {"error": "Input validation error: `inputs` ...", "error_type": "validation"}

#include <string_view>

#include "api/status.h"

namespace polymath::api {

// kAborted is TGI's "incomplete generation": the server stopped before the answer ended. A Failure whose code is an
// error_type of TGI's ("template_error") has that one.
ErrorReply tgi_error(const Failure& failure);

// The last event of a stream whose answer did not end.
ErrorReply tgi_incomplete_stream();

// The body of a failed health check.
ErrorReply tgi_unhealthy();

// The error_type of a chat that its template refuses, as Failure::code.
inline constexpr std::string_view kTgiTemplateError = "template_error";

}  // namespace polymath::api
