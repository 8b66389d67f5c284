#pragma once

// How models mark their reasoning, as rows.
//
// Sources: the models' chat templates, and the parsers of vLLM 0.33 whose names the rows have.

#include <span>
#include <string_view>
#include <vector>

namespace polymath::text {

struct ReasoningFormat {
  std::string_view name;
  std::vector<std::string_view> aliases;
  std::vector<std::string_view> begins;        // empty: the model writes none
  std::vector<std::string_view> ends;          // the first one is what a budget forces
  std::vector<std::string_view> removed = {};  // marks around the content that are not shown
  bool starts_inside = false;                  // also where the prompt does not end with a begin
  bool is_harmony = false;                     // gpt-oss's channels
  bool detected = true;                        // a model whose template has the marks gets this format by default
};

std::span<const ReasoningFormat> reasoning_formats();

// By name or alias. Null: there is none.
const ReasoningFormat* find_reasoning_format(std::string_view name);

// Whether the answer to this prompt begins within the reasoning. It does where the prompt ends with a begin. Under
// `starts_inside` it does unless the prompt ends with an end.
bool begins_in_reasoning(const ReasoningFormat& format, std::string_view prompt);
// Whether the prompt ends with an end: the answer has no reasoning.
bool ends_reasoning(const ReasoningFormat& format, std::string_view prompt);

}  // namespace polymath::text
