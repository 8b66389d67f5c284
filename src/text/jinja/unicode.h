#pragma once

// Python's string methods that look at characters. Views in, views out where nothing changes.
//
// Letters change case as in Python, where some grow ("ß".upper() is "SS"). The one exception is a final capital
// sigma, which becomes the ordinary small one.
// Source: Unicode 15 section 3.13; the full mappings follow from utf8proc's case folding.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace polymath::text::jinja {

bool is_python_space(char32_t c);  // str.isspace(): White_Space and the four separators U+001C..U+001F

// `set`: the characters to strip; nullptr data: white space.
std::string_view lstrip(std::string_view text, std::string_view set = {});
std::string_view rstrip(std::string_view text, std::string_view set = {});

// The byte where code point `index` begins; text.size() if there are fewer.
size_t byte_offset(std::string_view text, size_t index);

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string case_fold(std::string_view text);
std::string capitalize(std::string_view text);  // the first letter large, the others small
std::string swap_case(std::string_view text);
std::string title_case(std::string_view text);  // str.title(): each run of letters capitalised

bool has_case(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);  // Nd
bool is_digit(char32_t c);    // str.isdigit(): Nd, and the digits in circles, above and below the line

}  // namespace polymath::text::jinja
