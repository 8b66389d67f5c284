#pragma once

// Figures as aligned columns of text.

#include <cstdint>
#include <string>
#include <vector>

namespace polymath::commands {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head) : rows_{std::move(head)} {}
  // REQUIRES: as many cells as the head has.
  void add(std::vector<std::string> row);
  // The first column is aligned to the left, the others to the right. Lines end without blanks.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// A sentence in lines of at most 100 columns, where blanks allow; later lines are indented. Ends with a line break.
std::string wrapped(const std::string& text);

std::string with_commas(int64_t value);         // "131,072"
std::string fixed(double value, int n_digits);  // "46.70"; thousands with commas

}  // namespace polymath::commands
