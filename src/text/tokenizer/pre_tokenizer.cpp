#include "text/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/pattern.h"
#include "text/tokenizer/split_behavior.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

// GPT-2's pattern, which ByteLevel cuts by unless use_regex is off.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kWhitespacePattern = R"(\w+|[^\w\s]+)";

// Rewrites each word: rewrite(word, begins the input, out), where `out` is about to read the word. A word that becomes
// empty goes.
template <typename Function>
void rewrite_words(Words& words, const Function& rewrite) {
  Rewrite out(words.text);
  std::vector<Words::Range> ranges;
  ranges.reserve(words.ranges.size());
  size_t read = 0;
  for (size_t i = 0; i < words.ranges.size(); ++i) {
    const size_t begin = out.size();
    out.drop(words.ranges[i].begin - read);
    rewrite(words.at(words.ranges[i]), i == 0 && words.at_start, out);
    read = words.ranges[i].end;
    if (out.size() > begin) ranges.push_back({begin, out.size()});
  }
  words.text = out.take();
  words.ranges = std::move(ranges);
}

class PatternSplit final : public PreTokenizer {
 public:
  PatternSplit(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Words& words) const override {
    std::vector<Words::Range> out;
    out.reserve(words.ranges.size());
    std::vector<Cut> cuts;
    for (const auto& range : words.ranges) {
      cuts.clear();
      pattern_.split(words.at(range), [&](size_t begin, size_t end, bool is_match) {
        // An empty match takes no text, but separates the words around it.
        cuts.push_back({{range.begin + begin, range.begin + end}, is_match != invert_});
      });
      append_words(cuts, behavior_, out);
    }
    std::erase_if(out, [](const Words::Range& r) { return r.begin == r.end; });
    words.ranges = std::move(out);
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Cuts at single characters of a class.
class CharacterSplit final : public PreTokenizer {
 public:
  using Class = std::function<bool(char32_t)>;
  CharacterSplit(Class is_in, SplitBehavior behavior) : is_in_(std::move(is_in)), behavior_(behavior) {}

  void apply(Words& words) const override {
    std::vector<Words::Range> out;
    std::vector<Cut> cuts;
    for (const auto& range : words.ranges) {
      cuts.clear();
      for (size_t i = range.begin; i < range.end;) {
        const CodePoint c = decode_utf8(std::string_view(words.text.text).substr(i, range.end - i));
        const bool match = is_in_(c.value);
        if (!match && !cuts.empty() && !cuts.back().is_match) {
          cuts.back().range.end = i + c.bytes;
        } else {
          cuts.push_back({{i, i + c.bytes}, match});
        }
        i += c.bytes;
      }
      append_words(cuts, behavior_, out);
    }
    words.ranges = std::move(out);
  }

 private:
  Class is_in_;
  SplitBehavior behavior_;
};

// Cuts a long text where Kimi's Python class does, before it looks for words.
class LongTextCuts final : public PreTokenizer {
 public:
  void apply(Words& words) const override {
    std::vector<Words::Range> out;
    for (const auto& range : words.ranges) cut(words.text.text, range, out);
    words.ranges = std::move(out);
  }

 private:
  static constexpr size_t kPartCharactersMax = 400'000;  // beyond: a word ends here
  static constexpr size_t kRunCharactersMax = 25'000;    // white space throughout, or none; beyond: a word ends here

  static void cut(std::string_view text, Words::Range range, std::vector<Words::Range>& out) {
    size_t begin = range.begin, in_part = 0, in_run = 0;
    bool run_is_space = false;
    for (size_t i = range.begin; i < range.end;) {
      const CodePoint c = decode_utf8(text.substr(i, range.end - i));
      const bool is_blank = is_space(c.value) || (c.value >= 0x1C && c.value <= 0x1F);  // str.isspace()
      if (in_part == kPartCharactersMax) in_part = in_run = 0;
      in_run = in_part > 0 && is_blank == run_is_space ? in_run + 1 : 1;
      const bool ends_word = (in_part == 0 && i > range.begin) || in_run > kRunCharactersMax;
      if (ends_word) {
        out.push_back({begin, i});
        begin = i;
        in_run = 1;
      }
      run_is_space = is_blank;
      ++in_part;
      i += static_cast<size_t>(c.bytes);
    }
    out.push_back({begin, range.end});
  }
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::unique_ptr<PreTokenizer> split)
      : add_prefix_space_(add_prefix_space), split_(std::move(split)) {}

  void apply(Words& words) const override {
    if (add_prefix_space_) {
      rewrite_words(words, [](std::string_view word, bool, Rewrite& out) {
        if (!word.starts_with(' ')) out.lead(" ");
        out.keep(word.size());
      });
    }
    if (split_ != nullptr) split_->apply(words);
    rewrite_words(words, [](std::string_view word, bool, Rewrite& out) { append_level(word, out); });
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<PreTokenizer> split_;  // null: no regex
};

class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(replacement),
        prepend_(prepend),
        split_(split),
        cut_(Pattern::literal(replacement), SplitBehavior::kMergedWithNext, false) {}

  void apply(Words& words) const override {
    rewrite_words(words, [&](std::string_view word, bool at_start, Rewrite& out) {
      const bool wanted = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && at_start);
      if (wanted && !word.starts_with(' ') && !word.starts_with(replacement_)) out.lead(replacement_);
      while (!word.empty()) {
        const size_t plain = std::min(word.find(' '), word.size());
        out.keep(plain);
        if (plain < word.size()) out.replace(replacement_, 1);
        word.remove_prefix(std::min(plain + 1, word.size()));
      }
    });
    if (split_) cut_.apply(words);
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
  PatternSplit cut_;
};

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> members) : members_(std::move(members)) {}
  void apply(Words& words) const override {
    for (const auto& member : members_) member->apply(words);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> members_;
};

using Made = absl::StatusOr<std::unique_ptr<PreTokenizer>>;

// GPT-2's words.
Made make_gpt2_split() {
  ASSIGN_OR_RETURN(Pattern compiled, Pattern::regex(kGpt2Pattern, RegexDialect::kOniguruma));
  return std::make_unique<PatternSplit>(std::move(compiled), SplitBehavior::kIsolated, false);
}

// Rust's \w, whatever the file's other patterns are.
Made make_whitespace_split() {
  ASSIGN_OR_RETURN(Pattern compiled, Pattern::regex(kWhitespacePattern, RegexDialect::kTiktoken));
  return std::make_unique<PatternSplit>(std::move(compiled), SplitBehavior::kRemoved, true);
}

Made read_split(base::JsonReader& reader, std::string_view path) {
  ASSIGN_OR_RETURN(Pattern pattern, Pattern::from_json(reader.find("pattern"), path));
  const std::string name = reader.s("behavior");
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(const SplitBehavior behavior, parse_split_behavior(name, path));
  return std::make_unique<PatternSplit>(std::move(pattern), behavior, reader.b("invert", false));
}

Made read_metaspace(base::JsonReader& reader) {
  const std::string replacement = reader.s("replacement", "\xE2\x96\x81");
  // Files before prepend_scheme said add_prefix_space.
  const std::string scheme = reader.s("prepend_scheme", reader.b("add_prefix_space", true) ? "always" : "never");
  const bool split = reader.b("split", true);
  if (replacement.empty() || replacement.size() != static_cast<size_t>(utf8_length(replacement[0]))) {
    reader.complain("replacement", "must be one character");
  }
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    reader.complain("prepend_scheme", "must be always, first or never");
  }
  RETURN_IF_ERROR(reader.status());
  const auto prepend = scheme == "always"  ? Metaspace::Prepend::kAlways
                       : scheme == "first" ? Metaspace::Prepend::kFirst
                                           : Metaspace::Prepend::kNever;
  return std::make_unique<Metaspace>(replacement, prepend, split);
}

Made read_byte_level(base::JsonReader& reader) {
  const bool prefix = reader.b("add_prefix_space", true), use_regex = reader.b("use_regex", true);
  std::unique_ptr<PreTokenizer> split;
  if (use_regex) {
    ASSIGN_OR_RETURN(split, make_gpt2_split());
  }
  return std::make_unique<ByteLevel>(prefix, std::move(split));
}

Made read_sequence(const base::JsonValue& node, std::string_view path) {
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(node, "pretokenizers", path));
  std::vector<std::unique_ptr<PreTokenizer>> members;
  for (size_t i = 0; i < nodes.size(); ++i) {
    ASSIGN_OR_RETURN(auto member, read_pre_tokenizer(nodes[i], absl::StrCat(std::string(path), "[", i, "]")));
    if (member != nullptr) members.push_back(std::move(member));
  }
  return std::make_unique<PreTokenizerSequence>(std::move(members));
}

Made make_bert() {
  std::vector<std::unique_ptr<PreTokenizer>> members;
  members.push_back(std::make_unique<CharacterSplit>(is_space, SplitBehavior::kRemoved));
  members.push_back(std::make_unique<CharacterSplit>(is_punctuation, SplitBehavior::kIsolated));
  return std::make_unique<PreTokenizerSequence>(std::move(members));
}

Made read_delimiter(base::JsonReader& reader) {
  const std::string delimiter = reader.s("delimiter");
  if (delimiter.empty()) reader.complain("delimiter", "must be one character");
  RETURN_IF_ERROR(reader.status());
  const char32_t wanted = decode_utf8(delimiter).value;
  return std::make_unique<CharacterSplit>([wanted](char32_t c) { return c == wanted; }, SplitBehavior::kRemoved);
}

Made read_node(const base::JsonValue& node, std::string_view type, base::JsonReader& reader, std::string_view path) {
  if (type == "Sequence") return read_sequence(node, path);
  if (type == "Split") return read_split(reader, path);
  if (type == "ByteLevel") return read_byte_level(reader);
  if (type == "Metaspace") return read_metaspace(reader);
  if (type == "Whitespace") return make_whitespace_split();
  if (type == "WhitespaceSplit") return std::make_unique<CharacterSplit>(is_space, SplitBehavior::kRemoved);
  if (type == "BertPreTokenizer") return make_bert();
  if (type == "CharDelimiterSplit") return read_delimiter(reader);
  if (type == "Digits") {
    const bool single = reader.b("individual_digits", false);
    return std::make_unique<CharacterSplit>(is_numeric, single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const auto behavior, parse_split_behavior(reader.s("behavior", "Isolated"), path));
    return std::make_unique<CharacterSplit>(is_punctuation, behavior);
  }
  return unknown_type(path, type);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PreTokenizer>> make_tiktoken_pre_tokenizer(std::string_view pattern,
                                                                          bool cuts_long_texts) {
  ASSIGN_OR_RETURN(Pattern compiled, Pattern::regex(pattern, RegexDialect::kTiktoken));
  std::vector<std::unique_ptr<PreTokenizer>> members;
  if (cuts_long_texts) members.push_back(std::make_unique<LongTextCuts>());
  members.push_back(std::make_unique<PatternSplit>(std::move(compiled), SplitBehavior::kIsolated, false));
  return std::make_unique<ByteLevel>(false, std::make_unique<PreTokenizerSequence>(std::move(members)));
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> read_pre_tokenizer(const base::JsonValue* node, std::string_view path) {
  if (node == nullptr || node->is_null()) return nullptr;
  base::JsonReader reader(*node, std::string(path));
  const std::string type = reader.s("type");
  RETURN_IF_ERROR(reader.status());
  ASSIGN_OR_RETURN(auto made, read_node(*node, type, reader, path));
  RETURN_IF_ERROR(reader.status());
  return made;
}

}  // namespace polymath::text
