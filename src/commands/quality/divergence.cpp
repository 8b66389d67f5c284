#include "commands/quality/divergence.h"

#include <algorithm>
#include <cmath>

namespace polymath::commands {
namespace {

struct Normalizer {
  size_t top = 0;        // index of the largest logit; the first of equal ones
  double log_total = 0;  // logarithm of the sum of exponentials
};

Normalizer normalizer(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v) - *best);
  return {static_cast<size_t>(best - logits.begin()), *best + std::log(sum)};
}

bool finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

double quantile(const std::vector<double>& sorted, double share) {
  const auto at = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(at, 1) - 1];
}

}  // namespace

Divergence::Divergence(int vocab) : vocab_(vocab) {}

bool Divergence::add(std::span<const float> reference, std::span<const float> model, int32_t next) {
  if (!finite(reference) || !finite(model)) return false;
  const Normalizer p = normalizer(reference), q = normalizer(model);
  double kl = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double error = static_cast<double>(model[i]) - reference[i], log_p = reference[i] - p.log_total;
    kl += std::exp(log_p) * (log_p - (model[i] - q.log_total));
    largest_error_ = std::max(largest_error_, std::abs(error));
    squares_ += error * error;
  }
  kl_.push_back(std::max(kl, 0.0));  // rounding can make it less
  reference_loss_ += p.log_total - reference[static_cast<size_t>(next)];
  loss_ += q.log_total - model[static_cast<size_t>(next)];
  if (p.top == q.top) ++same_;
  return true;
}

QualityFigures Divergence::figures() const {
  if (kl_.empty()) return {};
  const auto n = static_cast<double>(kl_.size());
  std::vector<double> sorted = kl_;
  std::sort(sorted.begin(), sorted.end());
  double total = 0;
  for (const double kl : sorted) total += kl;
  return {.positions = static_cast<int64_t>(kl_.size()),
          .perplexity = std::exp(loss_ / n),
          .reference_perplexity = std::exp(reference_loss_ / n),
          .kl_mean = total / n,
          .kl_median = quantile(sorted, 0.5),
          .kl_p99 = quantile(sorted, 0.99),
          .kl_max = sorted.back(),
          .same_top = static_cast<double>(same_) / n,
          .largest_logit_error = largest_error_,
          .logit_error_rms = std::sqrt(squares_ / (n * vocab_))};
}

}  // namespace polymath::commands
