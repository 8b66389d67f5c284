#include "text/grammar/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "text/utf8.h"

namespace polymath::text::grammar {
namespace {

constexpr char32_t kSurrogatesFirst = 0xD800, kSurrogatesLast = 0xDFFF;
// The escapes of one letter, and what they stand for.
constexpr std::pair<char, char> kEscapes[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                              {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};

std::string utf8_text(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

// Both ends have the same number of bytes. The range is split until the bytes behind the first differing one have their
// whole range. So each piece is a concatenation of ranges.
void add_utf8_range(ExprPool& pool, std::string first, std::string last, std::vector<ExprId>& out) {
  const size_t n = first.size();
  for (size_t i = 1; i < n; ++i) {
    const size_t tail = n - i;
    const char32_t span = (char32_t{1} << (6 * tail)) - 1;  // of the last `tail` bytes
    const char32_t a = decode_utf8(first).value, b = decode_utf8(last).value;
    if ((a & ~span) == (b & ~span)) continue;
    if ((a & span) != 0) {
      add_utf8_range(pool, first, utf8_text(a | span), out);
      return add_utf8_range(pool, utf8_text((a | span) + 1), last, out);
    }
    if ((b & span) != span) {
      add_utf8_range(pool, first, utf8_text((b & ~span) - 1), out);
      return add_utf8_range(pool, utf8_text(b & ~span), last, out);
    }
  }
  ExprId all = kEpsilon;
  for (size_t i = n; i-- > 0;) {
    all = pool.concat(pool.bytes(ByteSet::range(static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i]))), all);
  }
  out.push_back(all);
}

}  // namespace

CodePoints CodePoints::range(char32_t first, char32_t last) {
  CodePoints set;
  if (first <= last) set.ranges_ = {{first, last}};
  set.tidy();
  return set;
}

CodePoints CodePoints::of(std::string_view ascii) {
  CodePoints set;
  for (const char c : ascii) set |= range(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
  return set;
}

CodePoints& CodePoints::operator|=(const CodePoints& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  tidy();
  return *this;
}

void CodePoints::tidy() {
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<std::pair<char32_t, char32_t>> joined;
  const auto add = [&](char32_t first, char32_t last) {
    last = std::min(last, kCodePointMax);
    if (first > last) return;
    if (!joined.empty() && first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, last);
    } else {
      joined.emplace_back(first, last);
    }
  };
  for (const auto& [first, last] : ranges_) {
    if (first < kSurrogatesFirst) add(first, std::min<char32_t>(last, kSurrogatesFirst - 1));
    if (last > kSurrogatesLast) add(std::max<char32_t>(first, kSurrogatesLast + 1), last);
  }
  ranges_ = std::move(joined);
}

CodePoints CodePoints::inverse() const {
  CodePoints out;
  char32_t from = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > from) out.ranges_.emplace_back(from, first - 1);
    from = last + 1;
  }
  if (from <= kCodePointMax) out.ranges_.emplace_back(from, kCodePointMax);
  out.tidy();
  return out;
}

CodePoints CodePoints::both(const CodePoints& other) const {
  CodePoints out;
  for (const auto& a : ranges_) {
    for (const auto& b : other.ranges_) {
      const char32_t first = std::max(a.first, b.first), last = std::min(a.second, b.second);
      if (first <= last) out.ranges_.emplace_back(first, last);
    }
  }
  out.tidy();
  return out;
}

bool CodePoints::has(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& r) { return r.first <= c && c <= r.second; });
}

ExprId utf8_of(ExprPool& pool, const CodePoints& set) {
  constexpr char32_t kEnds[] = {0x7F, 0x7FF, 0xFFFF, kCodePointMax};  // the last of 1, 2, 3, 4 bytes
  std::vector<ExprId> parts;
  for (const auto& [first, last] : set.ranges()) {
    char32_t from = first;
    for (const char32_t end : kEnds) {
      const char32_t to = std::min(last, end);
      if (from > to) continue;
      add_utf8_range(pool, utf8_text(from), utf8_text(to), parts);
      from = to + 1;
    }
  }
  return pool.alt(std::move(parts));
}

ExprId json_char_of(ExprPool& pool, const CodePoints& set) {
  static const CodePoints escaped = [] {
    CodePoints e = CodePoints::range(0, 0x1F);
    return e |= CodePoints::of("\"\\");
  }();
  std::vector<ExprId> parts = {utf8_of(pool, set.without(escaped))};
  const CodePoints named = set.both(escaped);
  for (const auto& [first, last] : named.ranges()) {
    for (char32_t c = first; c <= last; ++c) {
      const std::string quoted = json_quoted(utf8_text(c));
      parts.push_back(pool.text(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
  }
  return pool.alt(std::move(parts));
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto* const escape =
        std::find_if(std::begin(kEscapes), std::end(kEscapes), [&](const auto& e) { return e.first == c; });
    if (escape != std::end(kEscapes)) {
      out += '\\';
      out += escape->second;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out += absl::StrFormat("\\u%04x", static_cast<uint8_t>(c));
    } else {
      out += c;
    }
  }
  return out += '"';
}

ExprId any_json_char(ExprPool& pool) {
  const CodePoints raw = CodePoints::all().without(CodePoints::range(0, 0x1F)).without(CodePoints::of("\"\\"));
  const ExprId hex = pool.bytes(ByteSet::of("0123456789abcdefABCDEF"));
  const ExprId no_surrogate = pool.alt({
      pool.concat({pool.bytes(ByteSet::of("0123456789abcefABCEF")), hex, hex, hex}),
      pool.concat({pool.bytes(ByteSet::of("dD")), pool.bytes(ByteSet::of("01234567")), hex, hex}),
  });
  const ExprId high = pool.concat({pool.bytes(ByteSet::of("dD")), pool.bytes(ByteSet::of("89abAB")), hex, hex});
  const ExprId low = pool.concat({pool.bytes(ByteSet::of("dD")), pool.bytes(ByteSet::of("cdefCDEF")), hex, hex});
  const ExprId code = pool.alt({no_surrogate, pool.concat({high, pool.text("\\u"), low})});
  const ExprId escape = pool.alt({pool.bytes(ByteSet::of("\"\\/bfnrt")), pool.concat(pool.text("u"), code)});
  return pool.alt({utf8_of(pool, raw), pool.concat(pool.text("\\"), escape)});
}

bool category_of(std::string_view name, CodePoints& out) {
  static const auto* const categories = [] {
    auto* all = new std::array<CodePoints, UTF8PROC_CATEGORY_CO + 1>();
    std::array<std::vector<std::pair<char32_t, char32_t>>, UTF8PROC_CATEGORY_CO + 1> ranges;
    for (char32_t c = 0; c <= kCodePointMax; ++c) {
      auto& list = ranges[utf8proc_category(static_cast<utf8proc_int32_t>(c))];
      if (!list.empty() && list.back().second + 1 == c) {
        list.back().second = c;
      } else {
        list.emplace_back(c, c);
      }
    }
    for (size_t i = 0; i < ranges.size(); ++i) {
      for (const auto& [first, last] : ranges[i]) (*all)[i] |= CodePoints::range(first, last);
    }
    return all;
  }();
  // In the order of utf8proc's categories.
  constexpr std::string_view kNames[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                         "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                         "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
  static_assert(std::size(kNames) == UTF8PROC_CATEGORY_CO + 1);
  if (name.empty()) return false;
  bool known = false;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (!kNames[i].starts_with(name)) continue;
    known = true;
    out |= (*categories)[i];
  }
  return known;
}

}  // namespace polymath::text::grammar
