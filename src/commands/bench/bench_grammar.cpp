#include "commands/bench/bench_grammar.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/json.h"
#include "text/grammar/grammar.h"
#include "text/tokenizer.h"

namespace polymath::commands {
namespace {

using text::grammar::Language;
using text::grammar::Matcher;
using VocabularyPtr = std::shared_ptr<const text::grammar::Vocabulary>;

constexpr double kMicroseconds = 1e6;

// In the order of Language.
constexpr std::string_view kLanguages[] = {"json_object", "json_schema", "regex", "ebnf", "choices", "structural_tag"};
static_assert(std::size(kLanguages) == static_cast<size_t>(Language::kCount));

absl::StatusOr<Language> language_of(std::string_view name) {
  const auto* const at = std::find(std::begin(kLanguages), std::end(kLanguages), name);
  if (at != std::end(kLanguages)) return static_cast<Language>(at - std::begin(kLanguages));
  return absl::InvalidArgumentError(absl::StrCat("language: no such one: ", std::string(name)));
}

// Whether the grammar takes the text, token by token. Adds the time of each mask.
bool follow(Matcher matcher, const std::vector<text::TokenId>& ids, size_t vocab, base::JsonArray& mask_us) {
  std::vector<uint64_t> words((vocab + 63) / 64);
  for (size_t i = 0; i <= ids.size(); ++i) {
    std::fill(words.begin(), words.end(), ~uint64_t{0});
    const double begin = base::steady_seconds();
    matcher.fill(words);
    mask_us.push_back((base::steady_seconds() - begin) * kMicroseconds);
    if (i == ids.size()) break;
    const auto id = static_cast<size_t>(ids[i]);
    if (((words[id >> 6] >> (id & 63)) & 1) == 0 || !matcher.accept(ids[i])) return false;
  }
  return matcher.may_end();
}

absl::StatusOr<base::JsonObject> measure(const std::string& line, const text::Tokenizer& tokenizer,
                                         const VocabularyPtr& vocabulary) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(line, {.depth_max = 256}));
  base::JsonReader j(json);
  const std::string language = j.s("language"), source = j.s("source");
  const std::vector<std::string> texts = j.strings("texts");
  RETURN_IF_ERROR(j.status());
  text::grammar::Spec spec{.source = source};
  ASSIGN_OR_RETURN(spec.language, language_of(language));
  base::JsonObject out;
  if (const auto* id = j.find("id")) out["id"] = *id;
  const double begin = base::steady_seconds();
  const auto grammar = text::grammar::compile(spec, vocabulary, {});
  out["compile_us"] = (base::steady_seconds() - begin) * kMicroseconds;
  out["error"] = grammar.ok() ? base::JsonValue() : base::JsonValue(std::string(grammar.status().message()));
  if (!grammar.ok()) return out;
  base::JsonArray accepted, mask_us;
  for (const std::string& text : texts) {
    accepted.emplace_back(follow(Matcher(*grammar), tokenizer.encode(text, false), vocabulary->size(), mask_us));
  }
  out["accepted"] = std::move(accepted);
  out["mask_us"] = std::move(mask_us);
  return out;
}

}  // namespace

int bench_grammar(const Arguments& arguments) {
  if (arguments.size() != 1) return fail_flags(absl::InvalidArgumentError("bench grammar takes a directory"));
  const auto tokenizer = text::load_tokenizer(arguments[0], {});
  if (!tokenizer.ok()) return fail(tokenizer.status());
  std::vector<text::TokenId> ends;
  if (const auto eos = (*tokenizer)->eos_id()) ends.push_back(*eos);
  const double begin = base::steady_seconds();
  const auto vocabulary = text::grammar::Vocabulary::make(**tokenizer, (*tokenizer)->vocab_size(), ends);
  std::cerr << "vocabulary: " << vocabulary->size() << " ids, " << base::steady_seconds() - begin << " s\n";
  for (std::string line; std::getline(std::cin, line);) {
    const auto measured = measure(line, **tokenizer, vocabulary);
    if (!measured.ok()) return fail(measured.status());
    std::cout << base::to_text(*measured) << std::endl;
  }
  return 0;
}

}  // namespace polymath::commands
