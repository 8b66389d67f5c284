#include "commands/bench_sequences.h"

#include <vector>

#include "base/clock.h"

namespace polymath::commands {

Sequences::Sequences(House& house, const Settings& settings, int n)
    : model_(house.transformer()),
      block_size_(settings.block_size),
      n_(n),
      width_((settings.bench_input + settings.bench_output + settings.block_size - 1) / settings.block_size),
      same_tokens_(settings.bench_same_tokens),
      any_(0, model_.vocab() - 1) {}

absl::StatusOr<double> Sequences::step(int count) {
  std::vector<int32_t> tokens, positions, slots, starts = {0}, lens, rows, table;
  for (int s = 0; s < n_; ++s) {
    for (int t = computed_; t < computed_ + count; ++t) {
      tokens.push_back(next_token());
      positions.push_back(t);
      slots.push_back((s * width_ + t / block_size_) * block_size_ + t % block_size_);
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
    rows.push_back(static_cast<int32_t>(tokens.size()) - 1);
    lens.push_back(computed_ + count);
    for (int b = 0; b < width_; ++b) table.push_back(s * width_ + b);
  }
  computed_ += count;
  const double begin = base::steady_seconds();
  ASSIGN_OR_RETURN(const auto logits, model_.forward({tokens, positions, slots, starts, lens, table, width_, rows}));
  const double seconds = base::steady_seconds() - begin;
  if (logits.rows() != n_) return absl::InternalError("the model gave another number of logits");
  cost_ = model_.last_step_cost();
  return seconds;
}

}  // namespace polymath::commands
