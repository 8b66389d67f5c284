#pragma once

// Rotary tables: cosine and sine of every position's angles, scaled for long contexts.
//
// Sources: RoPE arXiv:2104.09864; YaRN arXiv:2309.00071; LongRoPE arXiv:2402.13753; llama3: Llama 3.1's config. The
// formulas follow transformers' modeling_rope_utils. "dynamic" and "longrope" depend on the served context length, as
// in vLLM. A sequence's own length would make its cached keys wrong.

#include <cstddef>
#include <vector>

namespace polymath::layers {

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope, kCount };

struct RopeConfig {
  double theta = 10000;
  int dims = 0;  // rotated elements of a head; 0: no positions at all (NoPE)
  bool interleaved = false;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  int original_len = 0;                              // "original_max_position_embeddings"
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn, DeepSeek
  double attention_factor = 0;                       // yarn, longrope; 0: the formula's
  bool truncate = true;                              // yarn: correction range of whole elements
  double short_mscale = 0, long_mscale = 0;          // longrope, Phi-MoE
  std::vector<double> short_factor, long_factor;     // longrope, [dims / 2]
  bool operator==(const RopeConfig&) const = default;
};

// Each pair's angle per position, [dims / 2], for a served context of `model_len`.
std::vector<double> rope_frequencies(const RopeConfig& rope, int model_len, int positions_max);
// What cosine and sine are multiplied by.
double rope_attention_factor(const RopeConfig& rope, int model_len, int positions_max);
// [model_len, dims / 2, 2]
std::vector<float> rope_table(const RopeConfig& rope, int model_len, int positions_max);
inline size_t rope_table_elements(const RopeConfig& rope, int model_len) {
  return static_cast<size_t>(model_len) * static_cast<size_t>(rope.dims);
}
// DeepSeek multiplies the softmax scale by the square of this.
double yarn_mscale(double factor, double mscale);

}  // namespace polymath::layers
