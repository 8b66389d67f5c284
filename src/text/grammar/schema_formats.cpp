// Formats of strings, as patterns.
//
// Sources: RFC 3339 (date, time, duration), RFC 4122 (uuid), RFC 5321 (email), RFC 1123 (hostname).
// RFC 4291 (ipv6), RFC 3986 (uri).

#include <algorithm>

#include "text/grammar/schema_scalars.h"

namespace polymath::text::grammar {
namespace {

struct Format {
  std::string_view name;
  std::string_view pattern;
};

#define POLYMATH_LEAP_DATE \
  "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][48]|[2468]0|[13579][26])00|0400|0800)-02-29"
#define POLYMATH_DATE                                                                                 \
  "((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|" \
  "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|" POLYMATH_LEAP_DATE ")"
#define POLYMATH_TIME "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define POLYMATH_BYTE "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define POLYMATH_IPV4 "(" POLYMATH_BYTE "\\.){3}" POLYMATH_BYTE
#define POLYMATH_LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define POLYMATH_H16 "[0-9A-Fa-f]{1,4}"
#define POLYMATH_LS32 "(" POLYMATH_H16 ":" POLYMATH_H16 "|" POLYMATH_IPV4 ")"
#define POLYMATH_IPV6                                                                                        \
  "((" POLYMATH_H16 ":){6}" POLYMATH_LS32 "|::(" POLYMATH_H16 ":){5}" POLYMATH_LS32 "|(" POLYMATH_H16        \
  ")?::(" POLYMATH_H16 ":){4}" POLYMATH_LS32 "|((" POLYMATH_H16 ":){0,1}" POLYMATH_H16 ")?::(" POLYMATH_H16  \
  ":){3}" POLYMATH_LS32 "|((" POLYMATH_H16 ":){0,2}" POLYMATH_H16 ")?::(" POLYMATH_H16 ":){2}" POLYMATH_LS32 \
  "|((" POLYMATH_H16 ":){0,3}" POLYMATH_H16 ")?::" POLYMATH_H16 ":" POLYMATH_LS32 "|((" POLYMATH_H16         \
  ":){0,4}" POLYMATH_H16 ")?::" POLYMATH_LS32 "|((" POLYMATH_H16 ":){0,5}" POLYMATH_H16 ")?::" POLYMATH_H16  \
  "|((" POLYMATH_H16 ":){0,6}" POLYMATH_H16 ")?::)"
#define POLYMATH_URI_CHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define POLYMATH_URI_TAIL "(\\?(" POLYMATH_URI_CHAR "|[/?])*)?(#(" POLYMATH_URI_CHAR "|[/?])*)?"
#define POLYMATH_URI_HOST "([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"

constexpr Format kFormats[] = {
    {"date", "^" POLYMATH_DATE "$"},
    {"time", "^" POLYMATH_TIME "$"},
    {"date-time", "^" POLYMATH_DATE "T" POLYMATH_TIME "$"},
    {"duration",
     "^P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)"
     "?|[0-9]+S))?|T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))$"},
    {"uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"},
    {"email", "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@" POLYMATH_LABEL
              "(\\." POLYMATH_LABEL ")*$"},
    {"hostname", "^" POLYMATH_LABEL "(\\." POLYMATH_LABEL "){0,30}$"},
    {"ipv4", "^" POLYMATH_IPV4 "$"},
    {"ipv6", "^" POLYMATH_IPV6 "$"},
    {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:(//((" POLYMATH_URI_HOST "|:)*@)?" POLYMATH_URI_HOST
            "*(:[0-9]*)?(/" POLYMATH_URI_CHAR "*)*|/(" POLYMATH_URI_CHAR "+(/" POLYMATH_URI_CHAR
            "*)*)?|" POLYMATH_URI_CHAR "+(/" POLYMATH_URI_CHAR "*)*|)" POLYMATH_URI_TAIL "$"},
    // Of OpenAPI: hints for forms and for programs, not for texts.
    {"password", ""},
    {"float", ""},
    {"double", ""},
};

}  // namespace

std::optional<std::string_view> format_pattern(std::string_view name) {
  const auto* const row =
      std::find_if(std::begin(kFormats), std::end(kFormats), [&](const Format& f) { return f.name == name; });
  if (row == std::end(kFormats)) return std::nullopt;
  return row->pattern;
}

}  // namespace polymath::text::grammar
