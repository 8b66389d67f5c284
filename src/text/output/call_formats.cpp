// The rows of call formats. A row's marks are in the order in which its machine looks for them.

#include <algorithm>
#include <iterator>

#include "text/output/call_format.h"

namespace polymath::text {
namespace {

using F = CallFamily;

CallFormat named(std::string_view name, Marks begins, std::string_view end, CallFormat::Named marks) {
  return {.name = name, .family = F::kNamed, .begins = std::move(begins), .end = end, .named = std::move(marks)};
}

// <function=f><parameter=a>1</parameter></function> within `begin` and `end`.
CallFormat function_tags(std::string_view name, std::vector<std::string_view> aliases, std::string_view begin,
                         std::string_view end) {
  return {.name = name,
          .aliases = std::move(aliases),
          .family = F::kTagged,
          .begins = {begin, "<function="},
          .end = end,
          .tagged = {.call_begin = "<function=",
                     .name_end = ">",
                     .call_end = "</function>",
                     .key_begin = "<parameter=",
                     .key_end = ">",
                     .value_end = "</parameter>",
                     .trims_newlines = true}};
}

// DeepSeek V3.2's and V4's tags.
CallFormat dsml(std::string_view name, std::vector<std::string_view> aliases, std::string_view begin,
                std::string_view end) {
  return {.name = name,
          .aliases = std::move(aliases),
          .family = F::kTagged,
          .begins = {begin},
          .end = end,
          .tagged = {.call_begin = "<｜DSML｜invoke name=\"",
                     .name_end = "\">",
                     .call_end = "</｜DSML｜invoke>",
                     .key_begin = "<｜DSML｜parameter name=\"",
                     .key_end = "\">",
                     .value_end = "</｜DSML｜parameter>",
                     .string_attribute = true}};
}

std::vector<CallFormat> json_formats() {
  return {
      {.name = "hermes",
       .aliases = {"qwen3_json", "granite4", "ernie45", "qwen"},
       .begins = {"<tool_call>"},
       .end = "</tool_call>"},
      {.name = "longcat", .begins = {"<longcat_tool_call>"}, .end = "</longcat_tool_call>"},
      {.name = "hunyuan_a13b", .aliases = {"hunyuan", "jamba"}, .begins = {"<tool_calls>"}, .end = "</tool_calls>"},
      {.name = "minimax", .begins = {"<tool_calls>"}, .end = "</tool_calls>", .detected = false},
      {.name = "granite", .begins = {"<|tool_call|>", "<tool_call>"}},
      {.name = "granite-20b-fc", .begins = {"<function_call>"}},
      {.name = "phi4_mini_json", .begins = {"functools"}},
      {.name = "internlm",
       .aliases = {"internlm2"},
       .begins = {"<|action_start|><|plugin|>", "<|action_start|> <|plugin|>"},
       .end = "<|action_end|>"},
      {.name = "cohere_command3",
       .aliases = {"cohere_command4", "cohere"},
       .begins = {"<|START_ACTION|>"},
       .end = "<|END_ACTION|>",
       .json = {.names = {"tool_name", "name"}}},
      {.name = "apertus",
       .begins = {"<|tools_prefix|>"},
       .end = "<|tools_suffix|>",
       .json = {.arguments = {}, .name_is_key = true}},
      {.name = "gigachat3",
       .begins = {"<|message_sep|>\n\nfunction call<|role_sep|>\n", "function call<|role_sep|>\n"}},
  };
}

std::vector<CallFormat> named_formats() {
  return {
      {.name = "mistral",
       .family = F::kMistral,
       .begins = {"[TOOL_CALLS]"},
       .short_ids = true,
       .named = {.call_begin = "[TOOL_CALLS]", .headers = {"{name}[CALL_ID]{id}[ARGS]", "{name}[ARGS]", "{name}"}}},
      named("deepseek_v3", {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"}, "<｜tool▁calls▁end｜>",
            {.call_begin = "<｜tool▁call▁begin｜>",
             .headers = {"function<｜tool▁sep｜>{name}\n```json"},
             .tails = {"```<｜tool▁call▁end｜>", "<｜tool▁call▁end｜>"}}),
      named("deepseek_v31", {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>"}, "<｜tool▁calls▁end｜>",
            {.call_begin = "<｜tool▁call▁begin｜>",
             .headers = {"{name}<｜tool▁sep｜>"},
             .tails = {"<｜tool▁call▁end｜>"}}),
      named("kimi_k2", {"<|tool_calls_section_begin|>", "<|tool_call_begin|>"}, "<|tool_calls_section_end|>",
            {.call_begin = "<|tool_call_begin|>",
             .headers = {"{id}<|tool_call_argument_begin|>"},
             .tails = {"<|tool_call_end|>"}}),
  };
}

std::vector<CallFormat> tagged_formats() {
  return {
      function_tags("qwen3_coder", {"qwen3_xml", "step3p5", "nemotron_v3", "mimo"}, "<tool_call>", "</tool_call>"),
      function_tags("seed_oss", {}, "<seed:tool_call>", "</seed:tool_call>"),
      {.name = "minimax_m2",
       .family = F::kTagged,
       .begins = {"<minimax:tool_call>"},
       .end = "</minimax:tool_call>",
       .tagged = {.call_begin = "<invoke name=\"",
                  .name_end = "\">",
                  .call_end = "</invoke>",
                  .key_begin = "<parameter name=\"",
                  .key_end = "\">",
                  .value_end = "</parameter>"}},
      dsml("deepseek_v32", {}, "<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
      dsml("deepseek_v4", {"deepseek_v41"}, "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
      {.name = "glm45",
       .aliases = {"glm47", "glm4_moe"},
       .family = F::kTagged,
       .begins = {"<tool_call>"},
       .tagged = {.call_end = "</tool_call>",
                  .key_begin = "<arg_key>",
                  .key_end = "</arg_key>",
                  .value_begin = "<arg_value>",
                  .value_end = "</arg_value>",
                  .untyped_is_json = true}},
      {.name = "step3",
       .family = F::kTagged,
       .begins = {"<｜tool_calls_begin｜>"},
       .end = "<｜tool_calls_end｜>",
       .tagged = {.call_begin = "<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"",
                  .name_end = "\">",
                  .call_end = "</steptml:invoke><｜tool_call_end｜>",
                  .key_begin = "<steptml:parameter name=\"",
                  .key_end = "\">",
                  .value_end = "</steptml:parameter>"}},
  };
}

std::vector<CallFormat> other_formats() {
  return {
      {.name = "openai", .aliases = {"gpt_oss", "harmony"}, .family = F::kHarmony},
      {.name = "lfm2", .family = F::kPythonic, .begins = {"<|tool_call_start|>"}, .end = "<|tool_call_end|>"},
      {.name = "olmo3",
       .family = F::kPythonic,
       .begins = {"<function_calls>"},
       .end = "</function_calls>",
       .lines = true},
      {.name = "llama4_pythonic",
       .family = F::kPythonic,
       .begins = {"<|python_start|>"},
       .bare = "[",
       .end = "<|python_end|>"},
      {.name = "pythonic", .family = F::kPythonic, .bare = "["},
      {.name = "llama3_json",
       .aliases = {"llama4_json", "llama"},
       .begins = {"<|python_tag|>"},
       .bare = "{",
       .json = {.needs_arguments = true}},
      {.name = "xlam",
       .begins = {"<tool_call>", "[TOOL_CALLS]", "```json"},
       .bare = "[{",
       .detected = false,
       .json = {.needs_arguments = true}},
  };
}

std::vector<CallFormat> all_formats() {
  std::vector<CallFormat> out;
  for (auto&& part : {json_formats(), named_formats(), tagged_formats(), other_formats()}) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace

std::span<const CallFormat> call_formats() {
  static const auto* const formats = new std::vector<CallFormat>(all_formats());
  return *formats;
}

const CallFormat* find_call_format(std::string_view name) {
  const auto formats = call_formats();
  const auto found = std::find_if(formats.begin(), formats.end(), [&](const CallFormat& format) {
    return format.name == name || std::find(format.aliases.begin(), format.aliases.end(), name) != format.aliases.end();
  });
  return found == formats.end() ? nullptr : &*found;
}

std::unique_ptr<CallMachine> make_call_machine(const CallFormat& format, std::string_view mark,
                                               const ToolTypes& types) {
  switch (format.family) {
    case F::kNamed:
      return make_named_calls(format, mark == format.named.call_begin);
    case F::kMistral:
      return make_mistral_calls(format);
    case F::kTagged:
      return make_tagged_calls(format, mark == format.tagged.call_begin, types);
    case F::kPythonic:
      return make_pythonic_calls(format);
    default:
      return make_json_calls(format);
  }
}

}  // namespace polymath::text
