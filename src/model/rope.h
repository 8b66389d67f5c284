#pragma once

// Rotary tables: cosine and sine of every position's angles, with the scaling of long contexts folded in.
//
// Sources: RoPE arXiv:2104.09864; YaRN arXiv:2309.00071; LongRoPE arXiv:2402.13753; llama3: Llama 3.1's config;
// the formulas are those of transformers' modeling_rope_utils. "dynamic" and "longrope" are settled once by the
// context that is served (as vLLM does), not by each sequence's length: cached keys would otherwise turn wrong.

#include <vector>

#include "model/config.h"

namespace polymath::model {

// Angles per position of each pair, [dims / 2], for a served context of `model_len`.
std::vector<double> rope_frequencies(const RopeConfig& rope, int model_len, int positions_max);
// What cosine and sine are multiplied by.
double rope_attention_factor(const RopeConfig& rope, int model_len, int positions_max);
// [model_len, dims / 2, 2]
std::vector<float> rope_table(const RopeConfig& rope, int model_len, int positions_max);
// DeepSeek multiplies the softmax scale by the square of this.
double yarn_mscale(double factor, double mscale);

}  // namespace polymath::model
