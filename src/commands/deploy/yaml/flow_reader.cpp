#include "commands/deploy/yaml/flow_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "commands/deploy/yaml/yaml.h"

namespace polymath::commands {
namespace {

using Value = absl::StatusOr<base::JsonValue>;

absl::Status fault(std::string_view what) { return absl::InvalidArgumentError(std::string(what)); }

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

// Behind a quoted scalar's last quote; npos: it has none.
size_t quoted_end(std::string_view text, size_t begin) {
  const char quote = text[begin];
  for (size_t i = begin + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != '\'') return i + 1;
      ++i;  // '' is a quote
    }
  }
  return std::string_view::npos;
}

class FlowReader {
 public:
  explicit FlowReader(std::string_view text) : text_(text) {}

  Value whole() {
    skip_spaces();
    ASSIGN_OR_RETURN(base::JsonValue out, value(0));
    skip_spaces();
    if (at_ < text_.size() && text_[at_] != '#') return fault("text behind a value");
    return out;
  }

 private:
  // And comments, which a blank precedes.
  void skip_spaces() {
    while (at_ < text_.size()) {
      const bool is_comment = text_[at_] == '#' && at_ > 0 && is_space(text_[at_ - 1]);
      if (is_comment) at_ = std::min(text_.find('\n', at_), text_.size());
      if (at_ == text_.size() || !is_space(text_[at_])) return;
      ++at_;
    }
  }
  bool take(char c) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Value value(int depth) {
    if (depth > kYamlDepthMax) return fault("nested too deep");
    if (at_ >= text_.size()) return base::JsonValue(nullptr);
    const char c = text_[at_];
    if (c == '"' || c == '\'') return quoted();
    if (c == '[') return list(depth);
    if (c == '{') return object(depth);
    if (std::string_view("&*!").find(c) != std::string_view::npos)
      return fault("anchors, aliases and tags are not read");
    if (std::string_view("%@`|>").find(c) != std::string_view::npos) return fault("a scalar must not begin so");
    return plain_scalar(plain(depth > 0));
  }

  // Up to a comment, or inside brackets up to what ends an item.
  std::string_view plain(bool inside) {
    const size_t begin = at_;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n' || (c == '#' && at_ > begin && is_space(text_[at_ - 1]))) break;
      if (c == '#' && at_ == begin) break;
      if (!inside) continue;
      const bool ends_key = c == ':' && (at_ + 1 == text_.size() || is_space(text_[at_ + 1]));
      if (ends_key || std::string_view(",[]{}").find(c) != std::string_view::npos) break;
    }
    return trimmed(text_.substr(begin, at_ - begin));
  }

  Value quoted() {
    const size_t begin = at_, end = quoted_end(text_, begin);
    if (end == std::string_view::npos) return fault("a quote is missing");
    const std::string_view inside = text_.substr(begin + 1, end - begin - 2);
    if (inside.find('\n') != std::string_view::npos) return fault("a quoted scalar of several lines is not read");
    at_ = end;
    if (text_[begin] == '\'') {
      std::string out;
      for (size_t i = 0; i < inside.size(); ++i) {
        out += inside[i];
        if (inside[i] == '\'') ++i;
      }
      return base::JsonValue(out);
    }
    const auto text = base::parse_json(text_.substr(begin, end - begin), {});  // JSON's escapes, and YAML's are refused
    if (!text.ok() || !text->is_string()) return fault("an escape that JSON does not have, or no text");
    return *text;
  }

  Value list(int depth) {
    ++at_;
    base::JsonArray out;
    while (!take(']')) {
      if (at_ >= text_.size()) return fault("a ] is missing");
      ASSIGN_OR_RETURN(base::JsonValue item, value(depth + 1));
      out.push_back(std::move(item));
      if (!take(',') && (skip_spaces(), at_ >= text_.size() || text_[at_] != ']')) return fault("a , or ] is missing");
    }
    return out;
  }

  Value object(int depth) {
    ++at_;
    base::JsonObject out;
    while (!take('}')) {
      if (at_ >= text_.size()) return fault("a } is missing");
      const bool is_quoted = text_[at_] == '"' || text_[at_] == '\'';
      std::string key;
      if (is_quoted) {
        ASSIGN_OR_RETURN(const base::JsonValue text, quoted());
        key = std::string(text.get_string());
      } else {
        key = std::string(plain(true));
      }
      if (key.empty() && !is_quoted) return fault("a key is missing");
      if (out.contains(key)) return fault(absl::StrCat("`", key, "` occurs twice"));
      base::JsonValue member(nullptr);
      if (take(':')) {
        skip_spaces();
        ASSIGN_OR_RETURN(member, value(depth + 1));
      }
      out[key] = std::move(member);
      if (!take(',') && (skip_spaces(), at_ >= text_.size() || text_[at_] != '}')) return fault("a , or } is missing");
    }
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<base::JsonValue> parse_flow(std::string_view text) { return FlowReader(text).whole(); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (is_space(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

bool is_closed(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool begins =
        i == 0 || is_space(text[i - 1]) || std::string_view(",[{:").find(text[i - 1]) != std::string_view::npos;
    if ((c == '"' || c == '\'') && begins) {
      const size_t end = quoted_end(text, i);
      if (end == std::string_view::npos) return false;
      i = end - 1;
    } else if (c == '#' && i > 0 && is_space(text[i - 1])) {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return depth <= 0;
}

std::optional<size_t> key_end(std::string_view text) {
  if (text.empty() || text.front() == '[' || text.front() == '{' || text.front() == '#') return std::nullopt;
  size_t at = 0;
  if (text.front() == '"' || text.front() == '\'') {
    at = quoted_end(text, 0);
    if (at == std::string_view::npos) return std::nullopt;
    while (at < text.size() && text[at] == ' ') ++at;
    const bool ends = at < text.size() && text[at] == ':' && (at + 1 == text.size() || is_space(text[at + 1]));
    return ends ? std::optional<size_t>(at) : std::nullopt;
  }
  for (; at < text.size(); ++at) {
    if (text[at] == '#' && at > 0 && is_space(text[at - 1])) return std::nullopt;
    if (text[at] == ':' && (at + 1 == text.size() || is_space(text[at + 1]))) return at;
  }
  return std::nullopt;
}

}  // namespace polymath::commands
