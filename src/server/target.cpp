#include "server/target.h"

#include <algorithm>

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

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Of a name: unreserved, sub-delimiters, and the sign of an escape.
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-._~!$&'()*+,;=%").find(c) != std::string_view::npos;
}

// Of an address in brackets; an IPv4 address may end it, and a zone may follow.
bool is_address_char(char c) { return hex_digit(c) >= 0 || c == ':' || c == '.' || c == '%' || is_name_char(c); }

template <typename Is>
bool all_are(std::string_view text, Is is) {
  return std::all_of(text.begin(), text.end(), is);
}

// "http://host:1/a" -> "/a"; "http://host?q" -> "?q". Every name is ours.
bool drop_authority(std::string_view& text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!starts_with_ignoring_case(text, scheme)) continue;
    text.remove_prefix(scheme.size());
    const size_t end = text.find_first_of("/?");
    const std::string_view authority = text.substr(0, end);
    text.remove_prefix(authority.size());
    return !authority.empty() && is_authority(authority);
  }
  return false;
}

}  // namespace

bool is_authority(std::string_view text) {
  constexpr size_t kPortDigitsMax = 5;
  std::string_view rest = text;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3 || !all_are(text.substr(1, end - 1), is_address_char)) return false;
    rest = text.substr(end + 1);
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    if (!all_are(text.substr(0, colon), is_name_char)) return false;
    if (colon == 0 && !text.empty()) return false;
    rest = text.substr(colon);
  }
  if (rest.empty()) return true;
  return rest[0] == ':' && rest.size() <= 1 + kPortDigitsMax && all_are(rest.substr(1), is_digit);
}

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
