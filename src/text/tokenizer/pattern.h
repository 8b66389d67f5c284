#pragma once

// What Split and Replace look for: {"String": "..."} or {"Regex": "..."}.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/regex.h"

namespace polymath::text {

class Pattern {
 public:
  static Pattern literal(std::string text);
  static absl::StatusOr<Pattern> regex(std::string_view source, RegexDialect dialect);
  static absl::StatusOr<Pattern> from_json(const base::JsonValue* node, std::string_view path);

  void split(std::string_view text, const SplitVisitor& visit) const;
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  std::string literal_;  // empty: matches nowhere
  std::optional<Regex> regex_;
};

}  // namespace polymath::text
