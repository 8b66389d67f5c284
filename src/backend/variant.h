#pragma once

// Kernel variants. Each op family has a table, best first. The first variant that fits a problem runs.
//
//   constexpr Variant<LinearProblem> kLinear[] = {{"gemv", gemv_fits, run_gemv}, {"cublaslt", lt_fits, run_lt}};
//   Variants<LinearProblem> linear("linear", kLinear);
//   if (!linear.run(problem)) compose(problem);
//
// Every variant of a table computes the same. Tests force each by name and compare it with the reference.
//
// Thread safety: the thread that drives the backend calls run() and force(). Any thread calls info().

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace polymath::backend {

// The name of a fused op's default, which composes primitives. Backend::kernels() lists it last.
inline constexpr std::string_view kComposition = "composition";

struct KernelInfo {
  struct Variant {
    std::string_view name;   // lives as long as the process
    bool ran = false;        // since the backend was made; a CUDA graph counts when it is captured
    bool on_machine = true;  // this machine has the instructions
  };
  std::string_view op;
  std::vector<Variant> variants;  // best first
};

template <class Problem>
struct Variant {
  std::string_view name;
  bool (*fits)(const Problem& problem);
  void (*run)(const Problem& problem);  // null: the default composition, which the caller runs
};

// A table's state: which variants ran, and which one is forced.
class OpFamily {
 public:
  static constexpr size_t kVariantsMax = 32;  // bits of a word

  OpFamily(std::string_view op, std::vector<std::string_view> names);
  std::string_view op() const { return op_; }
  KernelInfo info() const;
  // From now on `variant` runs wherever it fits. "": the first that fits, as before. False: no such name.
  bool force(std::string_view variant);

 protected:
  static constexpr size_t kNone = ~size_t{0};
  size_t forced() const { return forced_; }
  // Remembers that a variant runs, and logs its first time.
  void note(size_t i) {
    const uint32_t bit = uint32_t{1} << i;
    if ((ran_.load(std::memory_order_relaxed) & bit) == 0) note_first(i);
  }

 private:
  void note_first(size_t i);

  const std::string_view op_;
  const std::vector<std::string_view> names_;
  size_t forced_ = kNone;
  std::atomic<uint32_t> ran_{0};
};

// Row: Variant<Problem>, or a type derived from it.
template <class Problem, class Row = Variant<Problem>>
class Variants : public OpFamily {
 public:
  Variants(std::string_view op, std::span<const Row> table) : OpFamily(op, names_of(table)), table_(table) {}

  std::span<const Row> table() const { return table_; }
  // The variant that run() would take. REQUIRES: one fits.
  const Row& choose(const Problem& problem) const { return table_[index_of(problem)]; }
  // Every variant that fits.
  std::vector<std::string_view> fitting(const Problem& problem) const {
    std::vector<std::string_view> names;
    for (const Row& variant : table_) {
      if (variant.fits(problem)) names.push_back(variant.name);
    }
    return names;
  }
  // False: the caller runs the default composition.
  bool run(const Problem& problem) {
    const size_t i = index_of(problem);
    note(i);
    if (table_[i].run == nullptr) return false;
    table_[i].run(problem);
    return true;
  }

 private:
  static std::vector<std::string_view> names_of(std::span<const Row> table) {
    std::vector<std::string_view> names;
    for (const Row& variant : table) names.push_back(variant.name);
    return names;
  }
  size_t index_of(const Problem& problem) const {
    if (forced() != kNone && table_[forced()].fits(problem)) return forced();
    size_t i = 0;
    while (i < table_.size() && !table_[i].fits(problem)) ++i;
    CHECK(i < table_.size());
    return i;
  }

  const std::span<const Row> table_;
};

// For the last row of a table.
template <class Problem>
bool fits_always(const Problem&) {
  return true;
}

}  // namespace polymath::backend
