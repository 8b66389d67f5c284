#include "text/tokenizer/normalizer.h"

#include <functional>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/pattern.h"
#include "text/tokenizer/sentencepiece/charsmap.h"
#include "text/tokenizer/unicode_form.h"
#include "text/utf8.h"
#include "utf8proc.h"

namespace polymath::text {
namespace {

constexpr size_t kGraphemeBytesMax = 5;  // a longer grapheme is looked up character by character, as in tokenizers

// A normalizer that is one function of the text.
class Mapping final : public Normalizer {
 public:
  using Function = std::function<AlignedText(AlignedText)>;
  explicit Mapping(Function function) : function_(std::move(function)) {}
  AlignedText apply(AlignedText text, bool) const override { return function_(std::move(text)); }

 private:
  Function function_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> members) : members_(std::move(members)) {}
  AlignedText apply(AlignedText text, bool at_start) const override {
    for (const auto& member : members_) text = member->apply(std::move(text), at_start);
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> members_;
};

AlignedText strip(const AlignedText& from, bool left, bool right) {
  const std::string_view text(from.text);
  size_t begin = text.size(), end = 0;  // of what is no space
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.substr(i));
    if (!is_space(c.value)) {
      begin = std::min(begin, i);
      end = i + c.bytes;
    }
    i += c.bytes;
  }
  if (begin >= end) return left || right ? AlignedText{.tracked = from.tracked} : from;
  return from.part(left ? begin : 0, right ? end : text.size());
}

// The rules of SentencePiece's nmt_*: some controls go, other blanks become a space.
AlignedText nmt(const AlignedText& from) {
  const std::string_view text(from.text);
  Rewrite out(from);
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = decode_utf8(text.substr(i));
    const char32_t c = point.value;
    const bool dropped =
        (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
    const bool blank = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                       c == 0xFFFD;
    const auto bytes = static_cast<size_t>(point.bytes);
    if (blank) {
      out.replace(" ", bytes);
    } else if (dropped) {
      out.drop(bytes);
    } else {
      out.keep(bytes);
    }
    i += bytes;
  }
  return out.take();
}

// Characters pair off one by one. What the new text has more comes from the last of the old; what it has less is lost.
void replace_pairwise(std::string_view old_text, std::string_view replacement, Rewrite& out) {
  const std::string clean = sanitize_utf8(replacement);  // it is a file's
  std::string_view new_text = clean;
  while (!new_text.empty()) {
    const auto character = new_text.substr(0, static_cast<size_t>(decode_utf8(new_text).bytes));
    new_text.remove_prefix(character.size());
    if (old_text.empty()) {
      out.add(character);
      continue;
    }
    const auto bytes = static_cast<size_t>(decode_utf8(old_text).bytes);
    out.replace(character, bytes);
    old_text.remove_prefix(bytes);
  }
  out.drop(old_text.size());
}

// One grapheme: the shortest entry that begins it replaces all of it. Trained models depend on this peculiarity of
// tokenizers.
void append_mapped(const Charsmap& map, std::string_view grapheme, Rewrite& out) {
  if (grapheme.size() <= kGraphemeBytesMax) {
    if (const auto match = map.shortest(grapheme)) return replace_pairwise(grapheme, match->replacement, out);
  }
  for (size_t i = 0; i < grapheme.size();) {
    const std::string_view character = grapheme.substr(i, utf8_length(grapheme[i]));
    const auto match = map.shortest(character);
    if (match) {
      replace_pairwise(character, match->replacement, out);
    } else {
      out.keep(character.size());
    }
    i += character.size();
  }
}

AlignedText precompiled(const Charsmap& map, const AlignedText& from) {
  const std::string_view view(from.text);
  Rewrite out(from);
  size_t begin = 0;
  utf8proc_int32_t previous = 0, state = 0;
  for (size_t i = 0; i < view.size();) {
    const CodePoint c = decode_utf8(view.substr(i));
    const auto current = static_cast<utf8proc_int32_t>(c.value);
    if (i > 0 && utf8proc_grapheme_break_stateful(previous, current, &state)) {
      append_mapped(map, view.substr(begin, i - begin), out);
      begin = i;
    }
    previous = current;
    i += c.bytes;
  }
  if (begin < view.size()) append_mapped(map, view.substr(begin), out);
  return out.take();
}

AlignedText replace_matches(const Pattern& pattern, std::string_view content, const AlignedText& from) {
  if (!from.tracked) return {pattern.replace(from.text, content)};
  Rewrite out(from);
  pattern.split(from.text, [&](size_t begin, size_t end, bool is_match) {
    if (!is_match) return out.keep(end - begin);
    out.drop(end - begin);
    out.add(content);
  });
  return out.take();
}

AlignedText prepend(std::string_view prefix, AlignedText from) {
  if (from.text.empty()) return from;
  Rewrite out(from);
  out.lead(prefix);
  out.keep(from.text.size());
  return out.take();
}

absl::StatusOr<Mapping::Function> read_precompiled(base::JsonReader& reader, std::string_view path) {
  const std::string encoded = reader.s("precompiled_charsmap", "");
  RETURN_IF_ERROR(reader.status());
  std::string blob;
  if (!absl::Base64Unescape(encoded, &blob)) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(path), ".precompiled_charsmap: must be base64"));
  }
  if (blob.empty()) return Mapping::Function([](AlignedText t) { return t; });
  ASSIGN_OR_RETURN(Charsmap map, Charsmap::parse(blob));
  return Mapping::Function([map = std::move(map)](const AlignedText& t) { return precompiled(map, t); });
}

absl::StatusOr<Mapping::Function> read_function(std::string_view type, base::JsonReader& reader,
                                                std::string_view path) {
  const auto form = [](UnicodeForm f) { return [f](const AlignedText& t) { return to_unicode_form(t, f); }; };
  if (type == "NFC") return form(UnicodeForm::kNfc);
  if (type == "NFD") return form(UnicodeForm::kNfd);
  if (type == "NFKC") return form(UnicodeForm::kNfkc);
  if (type == "NFKD") return form(UnicodeForm::kNfkd);
  if (type == "Lowercase") return to_lowercase;
  if (type == "StripAccents") return without_accents;
  if (type == "Nmt") return nmt;
  if (type == "ByteLevel") {
    return [](const AlignedText& t) {
      Rewrite out(t);
      append_level(t.text, out);
      return out.take();
    };
  }
  if (type == "Precompiled") return read_precompiled(reader, path);
  if (type == "Prepend") {
    return [prefix = reader.s("prepend")](AlignedText t) { return prepend(prefix, std::move(t)); };
  }
  if (type == "Strip") {
    const bool left = reader.b("strip_left", true), right = reader.b("strip_right", true);
    return [left, right](const AlignedText& t) { return strip(t, left, right); };
  }
  if (type == "Replace") {
    ASSIGN_OR_RETURN(Pattern pattern, Pattern::from_json(reader.find("pattern"), path));
    return [pattern = std::move(pattern), content = reader.s("content")](const AlignedText& t) {
      return replace_matches(pattern, content, t);
    };
  }
  return unknown_type(path, type);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Normalizer>> read_normalizer(const base::JsonValue* node, std::string_view path) {
  if (node == nullptr || node->is_null()) return nullptr;
  base::JsonReader reader(*node, std::string(path));
  const std::string type = reader.s("type");
  RETURN_IF_ERROR(reader.status());
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const auto nodes, sequence_of(*node, "normalizers", path));
    std::vector<std::unique_ptr<Normalizer>> members;
    for (size_t i = 0; i < nodes.size(); ++i) {
      ASSIGN_OR_RETURN(auto member, read_normalizer(nodes[i], absl::StrCat(std::string(path), "[", i, "]")));
      if (member != nullptr) members.push_back(std::move(member));
    }
    return std::make_unique<NormalizerSequence>(std::move(members));
  }
  ASSIGN_OR_RETURN(auto function, read_function(type, reader, path));
  RETURN_IF_ERROR(reader.status());
  return std::make_unique<Mapping>(std::move(function));
}

}  // namespace polymath::text
