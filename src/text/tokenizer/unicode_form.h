#pragma once

// Unicode normalization forms in linear time (times log), and case.
// utf8proc's own mapping orders marks by insertion, which a long run of them makes quadratic.

#include <string_view>

#include "text/tokenizer/aligned_text.h"

namespace polymath::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// REQUIRES of all: valid UTF-8.
AlignedText to_unicode_form(const AlignedText& text, UnicodeForm form);
AlignedText to_lowercase(const AlignedText& text);
AlignedText without_accents(const AlignedText& text);  // marks (M) are dropped

}  // namespace polymath::text
