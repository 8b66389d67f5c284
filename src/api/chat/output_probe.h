#pragma once

// How a model writes tool calls and reasoning, found in its chat template at load.
//
// The template renders a call. The first format that reads it back is the model's.
// Thread safety: all functions are pure.

#include <string_view>

#include "api/chat/message_form.h"
#include "base/json.h"
#include "text/chat_template.h"
#include "text/output/output_parser.h"

namespace polymath::api {

// `source`: the template's text. `variables`: the same for every chat (bos_token, ...).
text::OutputFormat probe_output(const text::ChatTemplate& chat_template, std::string_view source,
                                const base::JsonObject& variables, const MessageForm& form);

}  // namespace polymath::api
