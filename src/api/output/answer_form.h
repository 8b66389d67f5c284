#pragma once

// The form of a chat's whole answer. A request asks for a form of the text, forces calls, or has strict functions.

#include <optional>

#include "api/chat/chat_prompt.h"
#include "api/output/output_plan.h"
#include "api/request/structure.h"

namespace polymath::api {

// `asked`: the text's form. nullopt: any text. kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<std::optional<Form>> answer_form(const ChatPrompt& chat, const OutputPlan& output,
                                                std::optional<Form> asked);

}  // namespace polymath::api
