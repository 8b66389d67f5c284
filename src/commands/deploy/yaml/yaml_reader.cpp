// Reads line by line: the indentation of a line says what it belongs to.

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "commands/deploy/yaml/flow_reader.h"
#include "commands/deploy/yaml/yaml.h"
#include "text/utf8.h"

namespace polymath::commands {
namespace {

using Value = absl::StatusOr<base::JsonValue>;

bool is_blank(std::string_view line) {
  const size_t at = line.find_first_not_of(" \t");
  return at == std::string_view::npos || line[at] == '#';
}

// From there on, without blanks at the beginning.
std::string_view behind(std::string_view text, size_t at) {
  return text.substr(std::min(text.find_first_not_of(" \t", at), text.size()));
}

bool is_separator(std::string_view line) {
  return line == "---" || line == "..." || line.starts_with("--- ") || line.starts_with("... ");
}

class Reader {
 public:
  explicit Reader(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);
      lines_.push_back(line);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  absl::StatusOr<std::vector<base::JsonValue>> documents() {
    std::vector<base::JsonValue> out;
    while (next_ < lines_.size()) {
      if (is_blank(lines_[next_]) || is_separator(lines_[next_])) {
        if (is_separator(lines_[next_]) && lines_[next_].size() > 3 && !is_blank(lines_[next_].substr(3))) {
          return fault(next_, "text behind --- is not read");
        }
        ++next_;
        continue;
      }
      RETURN_IF_ERROR(advance());
      ASSIGN_OR_RETURN(base::JsonValue value, node(0));
      if (has_line_) return fault(at_, "the indentation fits nothing above");
      out.push_back(std::move(value));
    }
    return out;
  }

 private:
  absl::Status fault(size_t line, std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line + 1, ": ", std::string(what)));
  }
  absl::Status fault(size_t line, const absl::Status& status) const {
    return fault(line, std::string(status.message()));
  }

  // To the next line of the document that says something.
  absl::Status advance() {
    while (next_ < lines_.size() && is_blank(lines_[next_])) ++next_;
    has_line_ = next_ < lines_.size() && !is_separator(lines_[next_]);
    if (!has_line_) return absl::OkStatus();
    at_ = next_++;
    indent_ = lines_[at_].find_first_not_of(' ');
    text_ = lines_[at_].substr(indent_);
    return text_.front() == '\t' ? fault(at_, "a tab in the indentation") : absl::OkStatus();
  }

  bool is_item() const { return text_ == "-" || text_.starts_with("- "); }

  // What begins at the current line.
  Value node(int depth) {
    if (depth > kYamlDepthMax) return fault(at_, "nested too deep");
    if (is_item()) return sequence(depth);
    if (key_end(text_)) return mapping(depth);
    const std::string_view text = text_;
    return inline_value(text, indent_);
  }

  Value sequence(int depth) {
    base::JsonArray out;
    const size_t indent = indent_;
    while (has_line_ && indent_ == indent && is_item()) {
      const size_t skipped = std::min(text_.find_first_not_of(' ', 1), text_.size());
      if (skipped == text_.size() || text_[skipped] == '#') {
        RETURN_IF_ERROR(advance());
        if (!has_line_ || indent_ <= indent) {
          out.emplace_back(nullptr);
          continue;
        }
      } else {  // the rest of the line is a block of its own, further to the right
        indent_ += skipped;
        text_.remove_prefix(skipped);
      }
      if (!is_item() && !key_end(text_)) {
        ASSIGN_OR_RETURN(base::JsonValue value, inline_value(text_, indent));
        out.push_back(std::move(value));
        continue;
      }
      ASSIGN_OR_RETURN(base::JsonValue value, node(depth + 1));
      out.push_back(std::move(value));
    }
    if (has_line_ && indent_ > indent) return fault(at_, "indented more than the list above");
    return out;
  }

  Value mapping(int depth) {
    base::JsonObject out;
    const size_t indent = indent_;
    while (has_line_ && indent_ == indent && !is_item()) {
      const auto end = key_end(text_);
      if (!end) return fault(at_, "neither `key: value` nor `- item`");
      ASSIGN_OR_RETURN(const std::string key, key_of(text_.substr(0, *end)));
      if (out.contains(key)) return fault(at_, absl::StrCat("`", key, "` occurs twice"));
      ASSIGN_OR_RETURN(base::JsonValue value, value_of(behind(text_, *end + 1), depth));
      out[key] = std::move(value);
    }
    if (has_line_ && indent_ > indent) return fault(at_, "indented more than the keys above");
    return out;
  }

  // Of a key at the current line; `rest` is what follows the colon.
  Value value_of(std::string_view rest, int depth) {
    const size_t indent = indent_;
    if (!is_blank(rest)) return inline_value(rest, indent);
    RETURN_IF_ERROR(advance());
    if (has_line_ && (indent_ > indent || (indent_ == indent && is_item()))) return node(depth + 1);
    return base::JsonValue(nullptr);
  }

  // A value that begins on the current line, of a key or item at column `indent`.
  Value inline_value(std::string_view text, size_t indent) {
    if (text.front() == '|' || text.front() == '>') return block_scalar(text, indent);
    const size_t line = at_;
    std::string joined(text);
    if (text.front() == '[' || text.front() == '{') {  // may go on over lines
      while (!is_closed(joined) && next_ < lines_.size() && !is_separator(lines_[next_])) {
        if (joined.size() > kYamlBytesMax) return fault(line, "too long");
        const std::string_view more = lines_[next_++];
        if (!is_blank(more)) absl::StrAppend(&joined, "\n", std::string(more));
      }
    }
    auto value = parse_flow(joined);
    if (!value.ok()) return fault(line, value.status());
    RETURN_IF_ERROR(advance());
    if (has_line_ && indent_ > indent) return fault(at_, "a scalar of several lines is not read; use | or quotes");
    return value;
  }

  // "|", ">" with an indentation and "-" or "+".
  Value block_scalar(std::string_view head, size_t indent) {
    const bool folds = head.front() == '>';
    char chomp = ' ';
    size_t margin = 0;
    for (const char c : trimmed(head.substr(1, head.find(" #") - 1))) {
      if (c == '-' || c == '+') {
        chomp = c;
      } else if (c >= '1' && c <= '9') {
        margin = indent + static_cast<size_t>(c - '0');
      } else {
        return fault(at_, "behind | and > are read a digit, - and +");
      }
    }
    std::vector<std::string_view> lines;
    for (; next_ < lines_.size(); ++next_) {
      const std::string_view line = lines_[next_];
      const size_t first = line.find_first_not_of(' ');
      if (first == std::string_view::npos) {
        lines.push_back(margin > 0 && line.size() > margin ? line.substr(margin) : std::string_view());
        continue;
      }
      if (margin == 0) margin = first;
      if (first < margin || margin <= indent) break;
      lines.push_back(line.substr(margin));
    }
    RETURN_IF_ERROR(advance());
    return base::JsonValue(joined(lines, folds, chomp));
  }

  static std::string joined(std::vector<std::string_view> lines, bool folds, char chomp) {
    size_t n_blank = 0;
    while (!lines.empty() && lines.back().empty()) {
      lines.pop_back();
      ++n_blank;
    }
    std::string out;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i > 0) {
        const bool both = folds && !lines[i].empty() && !lines[i - 1].empty() && lines[i].front() != ' ' &&
                          lines[i - 1].front() != ' ';
        if (both) out += ' ';
        // A blank line is a break; the one that it ends with is folded away.
        if (!both && !(folds && !lines[i].empty() && lines[i - 1].empty())) out += '\n';
      }
      out += std::string(lines[i]);
    }
    if (chomp != '-' && !lines.empty()) out += '\n';
    if (chomp == '+') out.append(n_blank, '\n');
    return out;
  }

  absl::StatusOr<std::string> key_of(std::string_view text) {
    if (text.starts_with('"') || text.starts_with('\'')) {
      const auto value = parse_flow(text);
      if (!value.ok()) return fault(at_, value.status());
      return std::string(value->get_string());
    }
    if (text == "<<") return fault(at_, "merge keys are not read");
    if (std::string_view("&*!?{[|>%@`,").find(text.front()) != std::string_view::npos) {
      return fault(at_, "anchors, aliases, tags and complex keys are not read");
    }
    return std::string(trimmed(text));
  }

  std::vector<std::string_view> lines_;
  size_t next_ = 0;  // the line behind the current one
  size_t at_ = 0;    // the current line
  bool has_line_ = false;
  size_t indent_ = 0;      // its column, or that of an item's content
  std::string_view text_;  // from there
};

}  // namespace

absl::StatusOr<std::vector<base::JsonValue>> parse_yaml(std::string_view yaml) {
  if (yaml.size() > kYamlBytesMax) return absl::InvalidArgumentError("longer than 4 MiB");
  if (text::sanitize_utf8(yaml) != yaml) return absl::InvalidArgumentError("not UTF-8");
  if (yaml.starts_with("\xEF\xBB\xBF")) yaml.remove_prefix(3);
  return Reader(yaml).documents();
}

base::JsonValue plain_scalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  constexpr std::pair<const char*, bool> kTruth[] = {{"true", true}, {"y", true},      {"n", false},  {"yes", true},
                                                     {"on", true},   {"false", false}, {"no", false}, {"off", false}};
  for (const auto& [word, value] : kTruth) {
    const std::string lower(word), upper = absl::AsciiStrToUpper(lower);
    if (text == lower || text == upper || text == absl::StrCat(upper.substr(0, 1), lower.substr(1))) return value;
  }
  const std::string word(text);
  const std::string_view digits = text.substr(text.front() == '-' || text.front() == '+' ? 1 : 0);
  if (digits.empty() || (absl::ascii_isdigit(digits.front()) == 0 && digits.front() != '.'))
    return base::JsonValue(word);
  int64_t whole = 0;
  if (digits.size() > 1 && digits[0] == '0' && absl::ascii_isdigit(digits[1]) != 0) {  // 0644, as YAML 1.1 reads it
    const bool octal = digits.find_first_not_of("01234567") == std::string_view::npos;
    return octal && digits.size() < 20 ? base::JsonValue(static_cast<int64_t>(std::stoll(word, nullptr, 8)))
                                       : base::JsonValue(word);
  }
  if (absl::SimpleAtoi(word, &whole)) return whole;
  double number = 0;
  const bool is_number = digits.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
  if (is_number && digits != "." && absl::SimpleAtod(word, &number)) return number;
  return base::JsonValue(word);
}

}  // namespace polymath::commands
