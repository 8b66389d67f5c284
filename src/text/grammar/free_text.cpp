#include "text/grammar/free_text.h"

#include <algorithm>
#include <utility>

#include "text/grammar/vocabulary.h"

namespace polymath::text::grammar {

FreeText::FreeText(ExprPool& pool, std::span<const std::string> specials) : pool_(pool), specials_(specials) {
  any_byte_ = pool_.bytes(ByteSet::range(0, static_cast<uint8_t>(kSpecialMark) - 1));
  any_text_ = pool_.repeat(any_byte_, 0, kUnbounded);
}

std::string FreeText::spelled(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const auto met = std::find_if(specials_.begin(), specials_.end(),
                                  [&](const std::string& special) { return text.starts_with(special); });
    const size_t n = met == specials_.end() ? 1 : met->size();
    if (met != specials_.end()) out.push_back(kSpecialMark);
    out += text.substr(0, n);
    text.remove_prefix(n);
  }
  return out;
}

// A mark's text may also be written in ordinary tokens.
ExprId FreeText::any_spelling(const std::vector<std::string>& marks) {
  std::vector<std::string> spellings = marks;
  for (const std::string& mark : marks) {
    if (std::string special = spelled(mark); special != mark) spellings.push_back(std::move(special));
  }
  return pool_.any_of(std::move(spellings));
}

ExprId FreeText::without(const std::vector<std::string>& marks) {
  return pool_.both({any_text_, pool_.inverse(pool_.concat({any_text_, any_spelling(marks), any_text_}))});
}

ExprId FreeText::up_to(const std::vector<std::string>& marks, const std::string& last) {
  const ExprId earlier = pool_.concat({any_text_, any_spelling(marks), any_byte_, any_text_});
  return pool_.both({pool_.concat(any_text_, written(last)), pool_.inverse(earlier)});
}

ExprId FreeText::up_to(const std::vector<std::string>& marks) {
  std::vector<ExprId> parts;
  for (const std::string& mark : marks) parts.push_back(up_to(marks, mark));
  return pool_.alt(std::move(parts));
}

}  // namespace polymath::text::grammar
