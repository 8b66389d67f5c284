#include "text/grammar/regex_language.h"

#include <algorithm>
#include <utility>

#include "text/grammar/languages.h"

namespace polymath::text::grammar {
namespace {

using Kind = RegexNode::Kind;

absl::Status misplaced() {
  return absl::UnimplementedError(
      "regular expression: ^, $ and lookaheads are supported at the ends of the pattern and its alternatives alone");
}

class Converter {
 public:
  Converter(ExprPool& pool, const Spelling& spelling, bool search) : pool_(pool), spelling_(spelling), search_(search) {
    any_ = pool_.repeat(spelling_.one_of(pool_, CodePoints::all()), 0, kUnbounded);
  }

  absl::StatusOr<ExprId> whole(const RegexNode& node) {
    const ExprId rest = search_ ? pool_.concat(any_, spelling_.close) : spelling_.close;
    ASSIGN_OR_RETURN(const Side language, alternatives(node, rest));
    const ExprId anywhere = search_ ? pool_.concat(any_, language.floating) : language.floating;
    return pool_.concat(spelling_.open, pool_.alt({anywhere, language.anchored}));
  }

 private:
  // Texts from the pattern on: those that may begin anywhere, and those that begin where the text does.
  struct Side {
    ExprId floating = kNothing, anchored = kNothing;
  };

  absl::StatusOr<Side> alternatives(const RegexNode& node, ExprId rest) {
    if (node.kind != Kind::kChoice) return sequence(node, rest);
    Side all;
    for (const RegexNode& part : node.parts) {
      ASSIGN_OR_RETURN(const Side one, sequence(part, rest));
      all.floating = pool_.alt({all.floating, one.floating});
      all.anchored = pool_.alt({all.anchored, one.anchored});
    }
    return all;
  }

  static bool is_plain(const RegexNode& node) {
    if (node.kind == Kind::kBegin || node.kind == Kind::kEnd || node.kind == Kind::kLookahead) return false;
    return std::all_of(node.parts.begin(), node.parts.end(), is_plain);
  }

  // `rest`: what follows the sequence, to the end of the text.
  absl::StatusOr<Side> sequence(const RegexNode& node, ExprId rest) {
    if (node.kind != Kind::kSequence) {
      RegexNode wrapped;
      wrapped.parts.push_back(node);
      return sequence(wrapped, rest);
    }
    bool anchored = false, at_end = true;
    ExprId tail = rest;
    for (size_t i = node.parts.size(); i-- > 0;) {
      const RegexNode& part = node.parts[i];
      if (part.kind == Kind::kEnd && at_end) {
        tail = spelling_.close;
      } else if (part.kind == Kind::kBegin) {
        const auto before = std::span(node.parts).first(i);
        const bool at_begin =
            std::all_of(before.begin(), before.end(), [](const RegexNode& p) { return p.kind == Kind::kBegin; });
        if (!at_begin) return misplaced();
        anchored = true;
      } else if (part.kind == Kind::kLookahead) {
        ASSIGN_OR_RETURN(tail, looked_ahead(part, tail));
      } else if (is_plain(part)) {
        ASSIGN_OR_RETURN(const ExprId one, plain(part));
        tail = pool_.concat(one, tail);
        at_end = false;
      } else {
        // A group with anchors inside: what follows it is known.
        if (part.kind == Kind::kRepeat) return misplaced();
        ASSIGN_OR_RETURN(const Side inner, alternatives(part, tail));
        if (inner.anchored != kNothing && i > 0) return misplaced();
        if (inner.anchored != kNothing) return inner;
        tail = inner.floating;
        at_end = false;
      }
    }
    return anchored ? Side{.anchored = tail} : Side{.floating = tail};
  }

  absl::StatusOr<ExprId> looked_ahead(const RegexNode& look, ExprId tail) {
    ASSIGN_OR_RETURN(const Side seen, alternatives(look.parts.front(), pool_.concat(any_, spelling_.close)));
    if (seen.anchored != kNothing) return misplaced();
    const ExprId wanted = look.negative ? pool_.inverse(seen.floating) : seen.floating;
    return pool_.both({wanted, tail});
  }

  absl::StatusOr<ExprId> plain(const RegexNode& node) {
    switch (node.kind) {
      case Kind::kSet:
        return spelling_.one_of(pool_, node.set);
      case Kind::kRepeat: {
        ASSIGN_OR_RETURN(const ExprId part, plain(node.parts.front()));
        return pool_.repeat(part, node.least, node.most);
      }
      case Kind::kChoice: {
        std::vector<ExprId> parts;
        for (const RegexNode& part : node.parts) {
          ASSIGN_OR_RETURN(const ExprId one, plain(part));
          parts.push_back(one);
        }
        return pool_.alt(std::move(parts));
      }
      case Kind::kSequence: {
        ExprId all = kEpsilon;
        for (size_t i = node.parts.size(); i-- > 0;) {
          ASSIGN_OR_RETURN(const ExprId part, plain(node.parts[i]));
          all = pool_.concat(part, all);
        }
        return all;
      }
      default:
        return misplaced();
    }
  }

  ExprPool& pool_;
  const Spelling spelling_;
  const bool search_;
  ExprId any_ = kNothing;  // any text
};

}  // namespace

Spelling plain_spelling() { return {utf8_of, kEpsilon, kEpsilon}; }

Spelling json_spelling(ExprPool& pool) { return {json_char_of, pool.text("\""), pool.text("\"")}; }

absl::StatusOr<ExprId> regex_language(ExprPool& pool, const RegexNode& node, const Spelling& spelling, bool search) {
  return Converter(pool, spelling, search).whole(node);
}

absl::StatusOr<ExprId> read_regex(const Spec& spec, const GrammarLimits& limits, ExprPool& pool) {
  const RegexLimits bounds{limits.pattern_bytes_max, limits.depth_max, limits.repeat_max};
  ASSIGN_OR_RETURN(const RegexNode node, parse_regex(spec.source, bounds));
  return regex_language(pool, node, plain_spelling(), /*search=*/false);
}

}  // namespace polymath::text::grammar
