#pragma once

// What is done with any grammar that compiles: a text is written byte by byte, as the grammar allows.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/grammar/grammar.h"

namespace polymath::fuzz {

inline std::shared_ptr<const text::grammar::Vocabulary> grammar_vocabulary() {
  static const auto vocabulary = [] {
    std::vector<std::string> texts = {"\xFF</s>", "\":", "\", \"", "true", "12", "\\u00", "{\"", "ab"};
    for (int byte = 0; byte < 255; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    return std::make_shared<const text::grammar::Vocabulary>(std::move(texts), std::vector<text::TokenId>{0});
  }();
  return vocabulary;
}

// The first half of the data is the source; the second chooses among the allowed ids. Every mask allows an id, and
// every allowed id is accepted.
inline void use_grammar(text::grammar::Language language, std::string_view data) {
  text::grammar::GrammarLimits limits;
  limits.exprs = {.exprs_max = 20'000, .lists_max = 200'000, .search_max = 500, .rows_max = 2000};
  limits.automaton = {.configs_max = 256, .expand_max = 2000, .stacks_max = 20'000, .states_max = 512};
  limits.pattern_bytes_max = 256;
  limits.rules_max = 1000;
  const size_t half = data.size() / 2;
  const auto grammar =
      text::grammar::compile({language, std::string(data.substr(0, half))}, grammar_vocabulary(), limits);
  if (!grammar.ok()) return;
  text::grammar::Matcher matcher(*grammar);
  const size_t n = grammar_vocabulary()->size();
  for (const char choice : data.substr(half, 64)) {
    std::vector<uint64_t> words((n + 63) / 64, ~uint64_t{0});
    matcher.fill(words);
    std::vector<text::TokenId> allowed;
    for (size_t id = 0; id < n; ++id) {
      if (((words[id >> 6] >> (id & 63)) & 1) != 0) allowed.push_back(static_cast<text::TokenId>(id));
    }
    if (!matcher.failure().empty()) return;
    CHECK(!allowed.empty());
    const text::TokenId id = allowed[static_cast<uint8_t>(choice) % allowed.size()];
    const bool accepted = matcher.accept(id);
    CHECK(accepted || !matcher.failure().empty());
    if (id == 0) return;
  }
}

}  // namespace polymath::fuzz
