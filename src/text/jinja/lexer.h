#pragma once

// Template text -> tokens, with trim_blocks and lstrip_blocks on.
//
// Source: Jinja2's template designer documentation, "Whitespace Control".

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::text::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,   // text: with its quotes and escapes
  kInteger,  // text: as written
  kFloat,
  kOperator,  // text: "==", "|", "("
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string_view text;  // into the source
};

// REQUIRES: `source` has only \n line ends (see normalize_source) and outlives the tokens.
// TemplateError, its line in `*line`: a tag without end, a character that is not Jinja's, unmatched brackets.
std::vector<Token> tokenize(std::string_view source, int* line);

// \r\n and \r become \n; one \n at the end goes; invalid UTF-8 becomes U+FFFD.
std::string normalize_source(std::string_view source);

// The value of a string token: without quotes, escapes replaced.
std::string unescape(std::string_view token);

}  // namespace polymath::text::jinja
