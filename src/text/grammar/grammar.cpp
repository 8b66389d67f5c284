#include "text/grammar/grammar.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "text/grammar/languages.h"
#include "text/grammar/preamble.h"
#include "text/grammar/simplify.h"

namespace polymath::text::grammar {
namespace {

struct Row {
  Language language;
  absl::StatusOr<ExprId> (*read)(const Spec& spec, const GrammarLimits& limits, ExprPool& pool);
};

// In the order of Language.
constexpr Row kLanguages[] = {
    {Language::kJsonObject, read_json_object},
    {Language::kJsonSchema, read_json_schema},
    {Language::kRegex, read_regex},
    {Language::kEbnf, read_ebnf},
    {Language::kChoices, read_choices},
    {Language::kStructuralTag, read_structural_tag},
};
static_assert(std::size(kLanguages) == static_cast<size_t>(Language::kCount));

}  // namespace

absl::StatusOr<std::shared_ptr<Grammar>> compile(Spec spec, std::shared_ptr<const Vocabulary> vocabulary,
                                                 const GrammarLimits& limits) {
  if (spec.source.size() > limits.source_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grammar has ", spec.source.size(), " bytes, more than ", limits.source_bytes_max));
  }
  ExprPool pool(limits.exprs);
  spec.specials = vocabulary->specials();
  ASSIGN_OR_RETURN(ExprId root, kLanguages[static_cast<size_t>(spec.language)].read(spec, limits, pool));
  root = behind_preamble(pool, spec.preamble, spec.specials, root);
  root = without_dead_ends(pool, root);
  RETURN_IF_ERROR(check_left_recursion(pool, root));
  if (pool.failed()) return absl::InvalidArgumentError(pool.failure());
  if (root == kNothing) return absl::InvalidArgumentError("nothing satisfies the grammar");
  return std::make_shared<Grammar>(std::move(pool), root, std::move(vocabulary), limits.automaton);
}

bool Grammar::worn() const {
  const std::lock_guard lock(mutex_);
  return automaton_.failed() || automaton_.worn();
}

Matcher::Matcher(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) {
  const std::lock_guard lock(grammar_->mutex_);
  at_ = grammar_->automaton_.start();
}

bool Matcher::accept(TokenId id) {
  const Vocabulary& vocabulary = grammar_->automaton_.vocabulary();
  if (vocabulary.is_end(id) && at_.may_end) return true;
  const std::string_view bytes = vocabulary.bytes(id);
  return !bytes.empty() && accept_bytes(bytes);
}

bool Matcher::accept_bytes(std::string_view bytes) {
  const std::lock_guard lock(grammar_->mutex_);
  Configs to = grammar_->automaton_.step(at_, bytes);
  if (to.dead()) return false;
  at_ = std::move(to);
  return true;
}

void Matcher::fill(std::span<uint64_t> allowed) {
  const std::lock_guard lock(grammar_->mutex_);
  std::fill(allowed.begin(), allowed.end(), 0);
  grammar_->automaton_.fill(at_, allowed);
  if (!at_.may_end) return;
  for (const TokenId id : grammar_->automaton_.vocabulary().end_ids()) {
    const size_t word = static_cast<size_t>(id) >> 6;
    if (word < allowed.size()) allowed[word] |= uint64_t{1} << (id & 63);
  }
}

std::string Matcher::forced_bytes(size_t bytes_max) {
  const std::lock_guard lock(grammar_->mutex_);
  return grammar_->automaton_.forced(at_, bytes_max);
}

std::string Matcher::failure() const {
  const std::lock_guard lock(grammar_->mutex_);
  return grammar_->automaton_.failure();
}

}  // namespace polymath::text::grammar
