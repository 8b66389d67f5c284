#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "commands/deploy/yaml/yaml.h"

namespace polymath::commands {
namespace {

constexpr int kStep = 2;  // columns that a level is indented by

bool is_empty(const base::JsonValue& value) {
  return (value.is_object() && value.get_object().empty()) || (value.is_array() && value.get_array().empty());
}

bool is_block(const base::JsonValue& value) { return (value.is_object() || value.is_array()) && !is_empty(value); }

// What some reader takes for a number: 1_000, 0x1f, 1e3.
bool is_like_number(std::string_view text) {
  return absl::ascii_isdigit(text.front()) != 0 &&
         text.find_first_not_of("0123456789abcdefABCDEFxXoO_.+-") == std::string_view::npos;
}

// Whether the text means itself without quotes.
bool is_plain(std::string_view text) {
  if (text.empty() || !plain_scalar(text).is_string() || text.ends_with(':') || text == "<<") return false;
  if ((absl::ascii_isalnum(text.front()) == 0 && text.front() != '/') || is_like_number(text)) return false;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) == 0 && std::string_view("/.-_:=+ ()$").find(c) == std::string_view::npos) return false;
  }
  return text.find(": ") == std::string_view::npos && text.back() != ' ';
}

bool is_literal(std::string_view text) {
  bool good = text.find('\n') != std::string_view::npos && text.front() != ' ' && text.front() != '\n';
  good = good && !text.ends_with("\n\n");
  for (const char c : text) good = good && (c == '\n' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f'));
  return good;
}

std::string literal(std::string_view text, int indent) {
  const bool ends = text.ends_with('\n');
  if (ends) text.remove_suffix(1);
  std::string out = ends ? "|" : "|-";
  const std::vector<std::string> lines = absl::StrSplit(std::string(text), '\n');
  for (const std::string& line : lines) {
    absl::StrAppend(&out, "\n", line.empty() ? "" : std::string(static_cast<size_t>(indent), ' '), line);
  }
  return out;
}

std::string scalar(const base::JsonValue& value, int indent) {
  if (value.is_object()) return "{}";
  if (value.is_array()) return "[]";
  if (!value.is_string()) return base::to_text(value);
  const std::string_view text(value.get_string());
  if (is_literal(text)) return literal(text, indent);
  return is_plain(text) ? std::string(text) : base::to_text(value);
}

void write(const base::JsonValue& value, int indent, std::string& out);

// One value behind "key:" or "-"; the cursor is behind that.
void write_behind(const base::JsonValue& value, int indent, bool in_list, std::string& out) {
  if (!is_block(value)) {
    absl::StrAppend(&out, " ", scalar(value, indent), "\n");
  } else if (in_list) {
    std::string block;
    write(value, indent, block);
    absl::StrAppend(&out, " ", block.substr(static_cast<size_t>(indent)));
  } else {
    out += '\n';
    write(value, indent, out);
  }
}

// A value that is_block().
void write(const base::JsonValue& value, int indent, std::string& out) {
  const std::string margin(static_cast<size_t>(indent), ' ');
  if (value.is_array()) {
    for (const base::JsonValue& item : value.get_array()) {
      absl::StrAppend(&out, margin, "-");
      write_behind(item, indent + kStep, true, out);
    }
    return;
  }
  for (const auto& member : value.get_object()) {
    const std::string key(member.key());
    absl::StrAppend(&out, margin, is_plain(key) ? key : base::to_text(base::JsonValue(key)), ":");
    write_behind(member.value(), indent + kStep, false, out);
  }
}

}  // namespace

std::string to_yaml(const base::JsonValue& value) {
  if (!is_block(value)) return scalar(value, kStep) + "\n";
  std::string out;
  write(value, 0, out);
  return out;
}

}  // namespace polymath::commands
