#pragma once

// How far a model's next-token distributions are from a reference's, over the same text.
//
//   Divergence divergence(vocab);
//   divergence.add(reference_logits, logits, next_token);   // for each position of the text
//   const QualityFigures figures = divergence.figures();

#include <cstdint>
#include <span>
#include <vector>

namespace polymath::commands {

// Logarithms are natural. All zero without positions.
struct QualityFigures {
  int64_t positions = 0;
  double perplexity = 0, reference_perplexity = 0;
  double kl_mean = 0, kl_median = 0, kl_p99 = 0, kl_max = 0;  // of the model from the reference, a position
  double same_top = 0;                                        // share of positions whose likeliest token is the same
  double largest_logit_error = 0, logit_error_rms = 0;
};

class Divergence {
 public:
  explicit Divergence(int vocab);

  // One position: [vocab] logits of both, and the token that follows in the text. Returns false, and counts nothing,
  // where a logit is NaN or infinite. REQUIRES: 0 <= next < vocab.
  bool add(std::span<const float> reference, std::span<const float> model, int32_t next);
  QualityFigures figures() const;

 private:
  int vocab_;
  std::vector<double> kl_;  // of each position
  double loss_ = 0, reference_loss_ = 0;
  int64_t same_ = 0;
  double largest_error_ = 0, squares_ = 0;
};

}  // namespace polymath::commands
