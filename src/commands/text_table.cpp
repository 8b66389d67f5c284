#include "commands/text_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace polymath::commands {
namespace {

constexpr size_t kColumnsMax = 100;  // of a line of prose; a longer one is broken

}  // namespace

void TextTable::add(std::vector<std::string> row) {
  CHECK(row.size() == rows_.front().size());
  rows_.push_back(std::move(row));
}

std::string TextTable::text() const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - row[i].size(), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", i == 0 ? row[i] + gap : gap + row[i]);
    }
    while (line.ends_with(' ')) line.pop_back();
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string wrapped(const std::string& text) {
  std::string out, line;
  const size_t indent = std::min(text.find_first_not_of(' '), text.size());
  const std::vector<std::string> words = absl::StrSplit(text.substr(indent), ' ');
  line.assign(indent, ' ');
  bool empty = true;
  for (const std::string& word : words) {
    if (!empty && line.size() + 1 + word.size() > kColumnsMax) {
      absl::StrAppend(&out, line, "\n");
      line.assign(indent + 2, ' ');
      empty = true;
    }
    absl::StrAppend(&line, empty ? "" : " ", word);
    empty = false;
  }
  return absl::StrCat(out, line, "\n");
}

std::string with_commas(int64_t value) {
  std::string digits = absl::StrCat(std::abs(value));
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return value < 0 ? "-" + digits : digits;
}

std::string fixed(double value, int n_digits) {
  const std::string text = absl::StrFormat("%.*f", n_digits, std::abs(value));
  const size_t point = std::min(text.find('.'), text.size());
  int64_t whole = 0;
  for (const char c : text.substr(0, point)) whole = whole * 10 + (c - '0');
  const std::string out = with_commas(whole) + text.substr(point);
  return value < 0 ? "-" + out : out;
}

}  // namespace polymath::commands
