#include "text/tokenizer/pattern.h"

#include "absl/strings/str_cat.h"

namespace polymath::text {

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

absl::StatusOr<Pattern> Pattern::regex(std::string_view source, RegexDialect dialect) {
  Pattern pattern;
  ASSIGN_OR_RETURN(pattern.regex_, Regex::compile(source, dialect));
  return pattern;
}

absl::StatusOr<Pattern> Pattern::from_json(const base::JsonValue* node, std::string_view path) {
  const std::string where = absl::StrCat(std::string(path), ".pattern");
  if (node == nullptr) return absl::InvalidArgumentError(absl::StrCat(where, ": missing"));
  if (node->is_string()) return literal(std::string(node->get_string().data(), node->get_string().size()));
  base::JsonReader reader(*node, where);
  if (reader.has("Regex")) {
    const std::string source = reader.s("Regex");
    RETURN_IF_ERROR(reader.status());
    auto pattern = regex(source, RegexDialect::kOniguruma);
    if (!pattern.ok()) return absl::InvalidArgumentError(absl::StrCat(where, ": ", pattern.status().message()));
    return pattern;
  }
  const std::string text = reader.s("String");
  RETURN_IF_ERROR(reader.status());
  return literal(text);
}

void Pattern::split(std::string_view text, const SplitVisitor& visit) const {
  if (regex_) return regex_->split(text, visit);
  size_t done = 0;
  while (!literal_.empty()) {
    const size_t found = text.find(literal_, done);
    if (found == std::string_view::npos) break;
    if (found > done) visit(done, found, false);
    visit(found, found + literal_.size(), true);
    done = found + literal_.size();
  }
  if (done < text.size()) visit(done, text.size(), false);
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  if (regex_) return regex_->replace(text, content);
  std::string out;
  out.reserve(text.size());
  split(text, [&](size_t begin, size_t end, bool is_match) {
    out.append(is_match ? content : text.substr(begin, end - begin));
  });
  return out;
}

}  // namespace polymath::text
