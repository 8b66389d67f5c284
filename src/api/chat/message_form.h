#pragma once

// How one chat template reads messages, and regular messages (api/chat/messages.h) brought into that form.
//
// Some templates take a content as text, others as parts. Some take a call's arguments as an object, others as JSON
// text. Some show one system message only. probe_template() renders messages with marked texts, once at load. It takes
// the first form in which every mark is shown.
//
// Thread safety: all functions are pure.

#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"

namespace polymath::api {

enum class ContentForm : uint8_t {
  kText,     // a string; parts are joined by newlines
  kAsSent,   // a string stays one, and so does a list of parts
  kParts,    // a list of parts; a string is a list of one
  kOnePart,  // a list of one part, which holds the whole text
};

struct MessageForm {
  ContentForm system = ContentForm::kText, user = ContentForm::kText, assistant = ContentForm::kText;
  ContentForm tool = ContentForm::kText;
  bool arguments_as_text = false;    // of a call: JSON text instead of an object
  bool null_beside_calls = false;    // an assistant's content without text, beside calls: null instead of ""
  bool named_results = false;        // a tool answer without a name gets that of its call
  bool declares_tools = false;       // reads tools_ts_str: api/chat/tool_declarations.h
  bool shows_developer = false;      // else the role developer becomes system
  bool several_systems = true;       // several system messages at the front are all shown
  bool scattered_systems = true;     // so is one behind other messages
  bool system_and_developer = true;  // so is a developer message behind a system message
};

// What --chat-template-content-format says.
enum class ContentFormat : uint8_t { kAuto, kText, kParts };
ContentFormat content_format(std::string_view name);  // "string", "openai"; else kAuto

// `source`: the template's text. `variables`: the same for every chat (bos_token, ...).
MessageForm probe_template(const text::ChatTemplate& chat_template, std::string_view source,
                           const base::JsonObject& variables, ContentFormat format);

// REQUIRES: regular messages. System messages that the template would not show all become one, in front, their texts
// separated by an empty line. kInvalidArgument: the template wants a call's arguments as an object, and they are JSON
// of another kind. Arguments that are no JSON are taken as a call cut off: it has none.
absl::StatusOr<base::JsonArray> fit_messages(const base::JsonArray& messages, const MessageForm& form);

}  // namespace polymath::api
