#include "api/chat/python_text.h"

#include <utility>

#include "text/chat_template.h"

namespace polymath::api {
namespace {

const text::ChatTemplate* make_writer(const char* source) {
  return new text::ChatTemplate(std::move(text::ChatTemplate::parse(source, {}).value()));
}

// The renderer writes values as Python does.
std::string write(const text::ChatTemplate& writer, const base::JsonValue& value) {
  auto written = writer.render(base::JsonObject{{"value", value}}, 0);
  return written.ok() ? std::move(written->text) : std::string("{}");  // it met one of the renderer's bounds
}

}  // namespace

std::string python_json(const base::JsonValue& value) {
  static const auto* const writer = make_writer("{{ value | tojson }}");
  return write(*writer, value);
}

std::string python_text(const base::JsonValue& value) {
  static const auto* const writer = make_writer("{{ value }}");
  return write(*writer, value);
}

}  // namespace polymath::api
