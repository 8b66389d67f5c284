#pragma once

// How much the inputs of each matrix count: the mean square of each, over a text.

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::commands {

class Importance {
 public:
  // `squares`: [stack, cols] of a tensor. Matrices that saw no input have zeros alone.
  void set(std::string tensor, std::vector<float> squares) { squares_[std::move(tensor)] = std::move(squares); }

  // Of matrix `index` of a stack; empty: not known, so all inputs count alike.
  std::span<const float> of(std::string_view tensor, int64_t index, int64_t cols) const {
    const auto at = squares_.find(tensor);
    if (at == squares_.end()) return {};
    const auto all = std::span(at->second).subspan(static_cast<size_t>(index * cols), static_cast<size_t>(cols));
    return std::any_of(all.begin(), all.end(), [](float v) { return v > 0; }) ? all : std::span<const float>();
  }
  size_t size() const { return squares_.size(); }

 private:
  std::map<std::string, std::vector<float>, std::less<>> squares_;
};

}  // namespace polymath::commands
