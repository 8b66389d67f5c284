#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "text/utf8.h"

namespace polymath::text {
namespace {

constexpr size_t kPatternBytesMax = 64u << 10;     // a longer pattern: kInvalidArgument
constexpr uint32_t kMatchStepsMax = 10'000'000;    // of one search; beyond: the rest of the text is one piece
constexpr size_t kJitStackBytesMax = 4u << 20;     // the same
constexpr uint32_t kHeapKilobytesMax = 64u << 10;  // the same, where there is no JIT
constexpr uint32_t kNestingMax = 250;              // deeper groups: kInvalidArgument

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// What a thread needs to match, made once a thread: no lock and no allocation in a search.
struct MatchScratch {
  MatchScratch() {
    pcre2_set_match_limit(context, kMatchStepsMax);
    pcre2_set_heap_limit(context, kHeapKilobytesMax);
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchScratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    if (stack != nullptr) pcre2_jit_stack_free(stack);
  }
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32u << 10, kJitStackBytesMax, nullptr);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
};

MatchScratch& scratch() {
  thread_local MatchScratch value;
  return value;
}

}  // namespace

struct Regex::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  pcre2_code* code;
};

Regex::Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

absl::StatusOr<Regex> Regex::compile(std::string_view source, RegexDialect dialect) {
  if (source.size() > kPatternBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a pattern of ", source.size(), " bytes; at most ", kPatternBytesMax));
  }
  ASSIGN_OR_RETURN(const std::string pattern, to_pcre2(source, dialect));
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), kNestingMax);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ are always a line's.
  const uint32_t anchors = dialect == RegexDialect::kOniguruma ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | anchors;
  pcre2_code* compiled = pcre2_compile(bytes_of(pattern), pattern.size(), options, &error, &offset, context.get());
  if (compiled == nullptr) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    return absl::InvalidArgumentError(absl::StrCat("the regular expression ", pattern, " at byte ", offset, ": ",
                                                   reinterpret_cast<const char*>(message)));
  }
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // where it cannot, pcre2_match interprets
  return Regex(std::make_shared<const Code>(compiled));
}

void Regex::split(std::string_view text, const SplitVisitor& visit) const {
  MatchScratch& s = scratch();
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(s.data);
  size_t done = 0;  // visited up to here
  size_t from = 0;
  bool any = false;
  while (from <= text.size()) {
    // The text was checked once, when it came in; PCRE2 would check all of it again in every search.
    const int found =
        pcre2_match(code_->code, bytes_of(text), text.size(), from, PCRE2_NO_UTF_CHECK, s.data, s.context);
    if (found < 0) break;  // no match, or a limit was met
    const size_t begin = span[0], end = span[1];
    if (begin > end || begin < done) break;  // \K within a lookaround can turn a match around
    if (begin == end && any && begin == done) {
      // An empty match that touches the last one does not count; look on behind the next character.
      if (from >= text.size()) break;
      from += utf8_length(text[from]);
      continue;
    }
    if (begin > done) visit(done, begin, false);
    visit(begin, end, true);
    done = from = end;
    any = true;
  }
  if (done < text.size()) visit(done, text.size(), false);
}

std::string Regex::replace(std::string_view text, std::string_view content) const {
  std::string out;
  out.reserve(text.size());
  split(text, [&](size_t begin, size_t end, bool is_match) {
    out.append(is_match ? content : text.substr(begin, end - begin));
  });
  return out;
}

}  // namespace polymath::text
