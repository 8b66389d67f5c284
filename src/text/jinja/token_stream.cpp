#include "text/jinja/token_stream.h"

#include "absl/strings/str_cat.h"

namespace polymath::text::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "text";
    case TokenType::kVariableEnd:
    case TokenType::kBlockEnd:
      return "the end of the tag";
    case TokenType::kEnd:
      return "the end of the template";
    default:
      return absl::StrCat("'", std::string(token.text.substr(0, 40)), "'");
  }
}

}  // namespace

Token TokenStream::next() {
  const Token token = now();
  if (at_ + 1 < tokens_.size()) ++at_;
  budget_.line = now().line;
  return token;
}

bool TokenStream::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

bool TokenStream::skip_operator(std::string_view op) {
  if (!is_operator(op)) return false;
  next();
  return true;
}

void TokenStream::expect_operator(std::string_view op) {
  if (!skip_operator(op)) unexpected(absl::StrCat("'", std::string(op), "'"));
}

std::string_view TokenStream::expect_name() {
  if (!is(TokenType::kName)) unexpected("a name");
  return next().text;
}

void TokenStream::expect(TokenType type, std::string_view what) {
  if (!is(type)) unexpected(what);
  next();
}

void TokenStream::unexpected(std::string_view wanted) const {
  fail(absl::StrCat("expected ", std::string(wanted), ", got ", describe(now())));
}

}  // namespace polymath::text::jinja
