#include <algorithm>

#include "text/output/reasoning_format.h"

namespace polymath::text {
namespace {

std::vector<ReasoningFormat> all_formats() {
  return {
      {.name = "openai_gptoss", .aliases = {"gpt_oss", "openai"}, .begins = {}, .ends = {}, .is_harmony = true},
      {.name = "mistral", .aliases = {}, .begins = {"[THINK]"}, .ends = {"[/THINK]"}},
      {.name = "seed_oss", .aliases = {}, .begins = {"<seed:think>"}, .ends = {"</seed:think>"}},
      {.name = "cohere_command3",
       .aliases = {"cohere_command4", "cohere"},
       .begins = {"<|START_THINKING|>"},
       .ends = {"<|END_THINKING|>"},
       .removed = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"}},
      {.name = "hunyuan_a13b",
       .aliases = {"hunyuan"},
       .begins = {"<think>"},
       .ends = {"</think>"},
       .removed = {"<answer>", "</answer>"}},
      {.name = "ernie45",
       .aliases = {},
       .begins = {"<think>"},
       .ends = {"</think>"},
       .removed = {"<response>", "</response>"}},
      {.name = "granite",
       .aliases = {},
       .begins = {"Here is my thought process:", "Here's my thought process:"},
       .ends = {"Here is my response:", "Here's my response:"},
       .detected = false},
      {.name = "qwen3",
       .aliases = {"deepseek_v3", "deepseek_v31", "deepseek_v32", "deepseek_v4", "deepseek_v41", "glm45", "glm47",
                   "holo2", "kimi_k2", "mimo", "minimax_m2", "nemotron_v3", "olmo3", "step3p5"},
       .begins = {"<think>"},
       .ends = {"</think>"}},
      {.name = "deepseek_r1",
       .aliases = {"step3"},
       .begins = {"<think>"},
       .ends = {"</think>"},
       .starts_inside = true,
       .detected = false},
  };
}

std::string_view without_blanks_behind(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

bool ends_with_any(std::string_view text, const std::vector<std::string_view>& marks) {
  return std::any_of(marks.begin(), marks.end(), [&](std::string_view mark) { return text.ends_with(mark); });
}

}  // namespace

std::span<const ReasoningFormat> reasoning_formats() {
  static const auto* const formats = new std::vector<ReasoningFormat>(all_formats());
  return *formats;
}

const ReasoningFormat* find_reasoning_format(std::string_view name) {
  const auto formats = reasoning_formats();
  const auto found = std::find_if(formats.begin(), formats.end(), [&](const ReasoningFormat& format) {
    return format.name == name || std::find(format.aliases.begin(), format.aliases.end(), name) != format.aliases.end();
  });
  return found == formats.end() ? nullptr : &*found;
}

bool begins_in_reasoning(const ReasoningFormat& format, std::string_view prompt) {
  const std::string_view text = without_blanks_behind(prompt);
  if (ends_with_any(text, format.begins)) return true;
  return format.starts_inside && !ends_with_any(text, format.ends);
}

bool ends_reasoning(const ReasoningFormat& format, std::string_view prompt) {
  return ends_with_any(without_blanks_behind(prompt), format.ends);
}

}  // namespace polymath::text
