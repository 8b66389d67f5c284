// Flags of run, bench, kernels, inspect and plan.

#include "commands/flags/flag_tables.h"
#include "commands/flags/flag_values.h"

namespace polymath::commands {
namespace {

absl::Status add_batch(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {1, kSequencesMax}));
  o.bench.batch.push_back(static_cast<int>(n));
  return absl::OkStatus();
}

// "LENGTH", or "PROMPTSxLENGTH" for several prompts in one step.
absl::Status add_prefill(Options& o, std::string_view value) {
  const size_t x = value.find('x');
  BenchOptions::Prefill prefill;
  if (x != std::string_view::npos) {
    ASSIGN_OR_RETURN(const int64_t prompts, parse_int(value.substr(0, x), {1, kSequencesMax}));
    prefill.prompts = static_cast<int>(prompts);
    value.remove_prefix(x + 1);
  }
  ASSIGN_OR_RETURN(const int64_t length, parse_int(value, {1, kModelLenMax / prefill.prompts}));
  prefill.length = static_cast<int>(length);
  o.bench.prefills.push_back(prefill);
  return absl::OkStatus();
}

absl::Status set_prompts(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(const std::string prompts, parse_choice(value, {"random", "same"}));
  o.bench.same_tokens = prompts == "same";
  return absl::OkStatus();
}

template <auto field>
absl::Status set_fraction(Options& o, std::string_view value) {
  ASSIGN_OR_RETURN(value_at(o, field), parse_number(value, 0, 100));
  return absl::OkStatus();
}

constexpr Flag kFlags[] = {
    {"prompt", "", FlagKind::kValue, kRun, "TEXT", "a chat on the terminal", "Answer this once and end.",
     [](Options& o, std::string_view v) {
       o.run.prompt = std::string(v);
       return absl::OkStatus();
     }},
    {"system", "", FlagKind::kValue, kRun, "TEXT", "", "A system message before the chat.",
     set_text<&RunOptions::system>},
    {"max-tokens", "", FlagKind::kValue, kRun, "N", "what fits", "Tokens of an answer.",
     set_int<&RunOptions::max_tokens, 1, kModelLenMax>},
    {"temperature", "", FlagKind::kValue, kRun | kBenchServe, "T", "the model's", "0: greedy.",
     set_fraction<&RunOptions::temperature>},
    {"top-p", "", FlagKind::kValue, kRun | kBenchServe, "P", "the model's", "Above 0, at most 1.",
     set_fraction<&RunOptions::top_p>},
    {"top-k", "", FlagKind::kValue, kRun | kBenchServe, "K", "the model's", "0: off.",
     set_int<&RunOptions::top_k, 0, 1 << 30>},
    {"input-len", "", FlagKind::kValue, kBench | kKernels, "TOKENS", "512", "Prompt tokens of a sequence.",
     set_int<&BenchOptions::input, 1, kModelLenMax>},
    {"output-len", "", FlagKind::kValue, kBench, "TOKENS", "64", "Decoded tokens of a sequence.",
     set_int<&BenchOptions::output, 1, kModelLenMax>},
    {"prefill-len", "", kList, kBench | kKernels, "TOKENS", "--input-len",
     "Tokens of a prefill that is timed, in one step; one figure each. 4x2048: four prompts at once.", add_prefill},
    {"feedback", "", kSwitch, kBench, "", "off",
     "Each token is the one that the device chose, as a server has it; else tokens are random. On a GPU.",
     set_bool<&BenchOptions::feedback>},
    {"output-json", "", FlagKind::kValue, kBench | kBenchServe | kBenchQuality, "FILE", "none",
     "The figures as JSON, too.", set_text<&BenchOptions::output_json>},
    {"repeats", "", FlagKind::kValue, kBench, "N", "3", "Prefills that the median is taken of.",
     set_int<&BenchOptions::repeats, 1, 1000>},
    {"batch", "", kList, kBench | kKernels, "N", "1 16 32", "Sequences decoded at once; one figure each.", add_batch},
    {"prompts", "", FlagKind::kValue, kBench, "KIND", "random",
     "random: every sequence has tokens of its own. same: token 0 everywhere, as llama.cpp's llama-batched-bench has "
     "it, so that all sequences visit the same experts; for comparisons with it.",
     set_prompts},
    {"against", "", FlagKind::kValue, kBenchQuality, "MODEL", "", "The reference, with the same tokenizer.",
     set_text<&QualityOptions::against>},
    {"text", "", FlagKind::kValue, kBenchQuality, "FILE", "", "What the models read; at most 64 MiB.",
     set_text<&QualityOptions::text>},
    {"reference-dtype", "", FlagKind::kValue, kBenchQuality, "TYPE", "auto", "--dtype of the reference.",
     set_text<&QualityOptions::reference_dtype>},
    {"context", "", FlagKind::kValue, kBenchQuality, "TOKENS", "512",
     "The text is read in windows of so many tokens; each begins without the one before.",
     set_int<&QualityOptions::context, 2, kModelLenMax>},
    {"tokens", "", FlagKind::kValue, kBenchQuality, "N", "8192", "Of the text, so many are read.",
     set_int<&QualityOptions::tokens, 1, 1 << 30>},
    {"to", "", FlagKind::kValue, kQuantize, "FORMAT", "",
     "What matrices become: q8_0, q6_k, q5_k, q5_0, q4_k, q4_0, mxfp4 of a GGUF file; fp8, int4 of a directory.",
     set_text<&QuantizeOptions::format>},
    {"calibrate", "", FlagKind::kValue, kQuantize, "FILE", "none",
     "A text, over which errors of large inputs count more. For q6_k, q5_k, q5_0, q4_k, q4_0 and int4. The model is "
     "loaded, on the CPU; at most 131,072 tokens are read.",
     set_text<&QuantizeOptions::calibrate>},
    {"measure", "", kSwitch, kKernels, "", "off",
     "Also run the ops on random values, as bench kernels does: time and share of the machine's limit.",
     set_bool<&KernelsOptions::measure>},
    {"json", "", kSwitch, kInspect | kPlan, "", "off", "Print one JSON object.",
     [](Options& o, std::string_view v) -> absl::Status {
       ASSIGN_OR_RETURN(o.inspect.json, parse_bool(v));
       o.plan.json = o.inspect.json;
       return absl::OkStatus();
     }},
};

}  // namespace

std::span<const Flag> command_flags() { return kFlags; }

}  // namespace polymath::commands
