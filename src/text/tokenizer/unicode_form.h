#pragma once

// Unicode normalization forms in linear time (times log), and case.
// utf8proc's own mapping orders marks by insertion, which a long run of them makes quadratic.

#include <string>
#include <string_view>

namespace polymath::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// REQUIRES of all: valid UTF-8.
std::string to_unicode_form(std::string_view text, UnicodeForm form);
std::string to_lowercase(std::string_view text);
std::string without_accents(std::string_view text);  // marks (M) are dropped

}  // namespace polymath::text
