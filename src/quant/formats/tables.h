#pragma once

// Code books of packed formats. They are facts of the file formats.
//
// A grid holds vectors of 8 or 4 values. An entry packs them, first value lowest: 2 bits each of 8 values, or 3 bits
// each of 4. tools/make_iq_grids.py wrote the grids' file.

#include <cstdint>

namespace polymath::quant {

// Of 4-bit codes. Source: ggml-common.h (kvalues_iq4nl, kvalues_mxfp4).
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t kFp4Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// NF4: quantiles of the normal distribution. bitsandbytes stores the table beside the weights (quant_map).
constexpr float kNf4Values[16] = {-1.0f,
                                  -0.6961928009986877f,
                                  -0.5250730514526367f,
                                  -0.39491748809814453f,
                                  -0.28444138169288635f,
                                  -0.18477343022823334f,
                                  -0.09105003625154495f,
                                  0.0f,
                                  0.07958029955625534f,
                                  0.16093020141124725f,
                                  0.24611230194568634f,
                                  0.33791524171829224f,
                                  0.44070982933044434f,
                                  0.5626170039176941f,
                                  0.7229568362236023f,
                                  1.0f};

// What a code of an entry stands for.
constexpr int8_t kGrid2Values[4] = {8, 25, 43, 0};  // IQ2_XXS, IQ2_XS, IQ2_S: a fourth code does not occur
constexpr int8_t kGrid3XxsValues[8] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr int8_t kGrid3SValues[8] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr int8_t kGrid1Values[4] = {-1, 0, 1, 0};  // IQ1_S, IQ1_M: a fourth code does not occur

extern const uint16_t kIq2XxsGrid[256];
extern const uint16_t kIq2XsGrid[512];
extern const uint16_t kIq2SGrid[1024];
extern const uint16_t kIq3XxsGrid[256];
extern const uint16_t kIq3SGrid[512];
extern const uint16_t kIq1Grid[2048];

}  // namespace polymath::quant
