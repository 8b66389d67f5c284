#include "server/target.h"

namespace polymath::server {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool decode(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return false;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return false;
    out.push_back(c);
  }
  return true;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_prefix) {
  if (text.size() < lower_prefix.size()) return false;
  for (size_t i = 0; i < lower_prefix.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != lower_prefix[i]) return false;
  }
  return true;
}

// "http://host:1/a" -> "/a"; "http://host?q" -> "?q". The host is not looked at: every name is ours.
bool drop_authority(std::string_view& text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!starts_with_ignoring_case(text, scheme)) continue;
    text.remove_prefix(scheme.size());
    const size_t end = text.find_first_of("/?");
    const std::string_view authority = text.substr(0, end);
    text.remove_prefix(authority.size());
    return !authority.empty();
  }
  return false;
}

}  // namespace

bool split_target(std::string_view text, Target& out) {
  out = {};
  if (text == "*") {
    out.path = "*";
    return true;
  }
  if (text.find('#') != std::string_view::npos) return false;
  if (text.empty() || (text[0] != '/' && !drop_authority(text))) return false;
  const size_t question = text.find('?');
  if (question != std::string_view::npos) out.query = text.substr(question + 1);
  if (!decode(text.substr(0, question), out.path)) return false;
  if (out.path.empty()) out.path = "/";
  return true;
}

}  // namespace polymath::server
