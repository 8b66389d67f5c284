// ggml's types of tensors. A type whose format is in quant/formats/list.cpp can be read; the others are listed.
// Source: ggml.h (enum ggml_type) and ggml-common.h (sizes of the blocks).

#include <algorithm>
#include <iterator>

#include "weights/gguf_header.h"

namespace polymath::weights {
namespace {

constexpr GgmlType kTypes[] = {
    {0, "F32", "float32", 1, 4},
    {1, "F16", "float16", 1, 2},
    {2, "Q4_0", "q4_0", 32, 18},
    {3, "Q4_1", "q4_1", 32, 20},
    {6, "Q5_0", "q5_0", 32, 22},
    {7, "Q5_1", "q5_1", 32, 24},
    {8, "Q8_0", "q8_0", 32, 34},
    {9, "Q8_1", "q8_1", 32, 36},
    {10, "Q2_K", "q2_k", 256, 84},
    {11, "Q3_K", "q3_k", 256, 110},
    {12, "Q4_K", "q4_k", 256, 144},
    {13, "Q5_K", "q5_k", 256, 176},
    {14, "Q6_K", "q6_k", 256, 210},
    {15, "Q8_K", "q8_k", 256, 292},
    {16, "IQ2_XXS", "iq2_xxs", 256, 66},
    {17, "IQ2_XS", "iq2_xs", 256, 74},
    {18, "IQ3_XXS", "iq3_xxs", 256, 98},
    {19, "IQ1_S", "iq1_s", 256, 50},
    {20, "IQ4_NL", "iq4_nl", 32, 18},
    {21, "IQ3_S", "iq3_s", 256, 110},
    {22, "IQ2_S", "iq2_s", 256, 82},
    {23, "IQ4_XS", "iq4_xs", 256, 136},
    {24, "I8", "", 1, 1},
    {25, "I16", "", 1, 2},
    {26, "I32", "", 1, 4},
    {27, "I64", "", 1, 8},
    {28, "F64", "float64", 1, 8},
    {29, "IQ1_M", "iq1_m", 256, 56},
    {30, "BF16", "bfloat16", 1, 2},
    {34, "TQ1_0", "tq1_0", 256, 54},
    {35, "TQ2_0", "tq2_0", 256, 66},
    {39, "MXFP4", "mxfp4", 32, 17},
};

}  // namespace

const GgmlType* find_ggml_type(uint32_t id) {
  const auto* at = std::find_if(std::begin(kTypes), std::end(kTypes), [id](const GgmlType& t) { return t.id == id; });
  return at == std::end(kTypes) ? nullptr : at;
}

const GgmlType* ggml_type_of_format(std::string_view format) {
  const auto* at =
      std::find_if(std::begin(kTypes), std::end(kTypes), [format](const GgmlType& t) { return t.format == format; });
  return at == std::end(kTypes) ? nullptr : at;
}

}  // namespace polymath::weights
