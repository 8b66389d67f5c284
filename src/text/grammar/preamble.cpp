#include "text/grammar/preamble.h"

#include <vector>

#include "text/grammar/free_text.h"

namespace polymath::text::grammar {
namespace {

constexpr int kBlanksMax = 4;  // between a mark and the form, or before the first mark

ExprId any_mark(ExprPool& pool, FreeText& text, const std::vector<std::string>& marks) {
  std::vector<ExprId> parts;
  for (const std::string& mark : marks) parts.push_back(text.written(mark));
  return pool.alt(parts);
}

// Messages of the analysis channel, then the form as the final message. Source: openai-harmony's format guide.
ExprId harmony(ExprPool& pool, FreeText& text, bool is_final, ExprId form) {
  const ExprId analysis = pool.concat(
      {text.written("<|channel|>analysis<|message|>"), text.up_to({"<|end|>"}), text.written("<|start|>assistant")});
  const ExprId constrained = pool.concat(pool.optional(pool.text(" ")), text.written("<|constrain|>json"));
  const ExprId header =
      pool.concat({text.written("<|channel|>final"), pool.optional(constrained), text.written("<|message|>")});
  return pool.concat({pool.repeat(analysis, 0, kUnbounded), is_final ? header : kEpsilon, form});
}

}  // namespace

ExprId behind_preamble(ExprPool& pool, const Preamble& preamble, std::span<const std::string> specials, ExprId form) {
  FreeText text(pool, specials);
  if (preamble.is_harmony) return harmony(pool, text, preamble.is_final, form);
  const ExprId blanks = pool.repeat(pool.bytes(ByteSet::of(" \n")), 0, kBlanksMax);
  if (preamble.removed.size() == 2) {
    const ExprId framed = pool.concat(
        {blanks, text.written(preamble.removed.front()), blanks, form, blanks, text.written(preamble.removed.back())});
    form = pool.alt({form, framed});
  }
  if (preamble.ends.empty()) return form;
  const ExprId reasoned = pool.concat({text.up_to(preamble.ends), blanks, form});
  if (preamble.inside) return reasoned;
  return pool.alt({form, pool.concat({blanks, any_mark(pool, text, preamble.begins), reasoned})});
}

}  // namespace polymath::text::grammar
