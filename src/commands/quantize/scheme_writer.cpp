#include "commands/quantize/scheme_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "quant/formats/fit.h"
#include "quant/fp8.h"
#include "tensor/tensor.h"

namespace polymath::commands {
namespace {

using weights::NewTensor;

constexpr int64_t kBlock = 128;
constexpr int kTaskRows = 16;                 // of int4, whose rows are independent
constexpr int64_t kGroups[] = {128, 64, 32};  // the largest that divides every matrix
constexpr int kLevels = 8, kInWord = 8;       // codes are -8 to 7; an I32 has eight

int64_t blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }

base::JsonArray texts(const std::vector<std::string>& some) {
  base::JsonArray out;
  for (const std::string& text : some) out.push_back(boost::json::string(text));
  return out;
}

// --- fp8 ---

SchemeOptions fp8_options(std::span<const PlainMatrix>, bool) { return {}; }

absl::StatusOr<bool> fp8_holds(const PlainMatrix&, const SchemeOptions&) { return true; }

std::vector<NewTensor> fp8_tensors(const PlainMatrix& m, const SchemeOptions&) {
  tensor::Shape scales;
  for (int i = 0; i + 2 < m.shape.rank(); ++i) scales.push_back(m.shape[i]);
  scales.push_back(blocks(m.rows(), kBlock));
  scales.push_back(blocks(m.cols(), kBlock));
  const auto bytes = [](const tensor::Shape& shape, int element) {
    return static_cast<uint64_t>(shape.elements() * element);
  };
  return {{m.name, "F8_E4M3", m.shape, bytes(m.shape, 1)},
          {m.name + "_scale_inv", "F32", scales, bytes(scales, sizeof(float))}};
}

void pack_fp8(const Band& band, const SchemeOptions&, std::byte* codes, std::byte* scales) {
  for (int64_t begin = 0; begin < band.cols; begin += kBlock, scales += sizeof(float)) {
    const int64_t end = std::min(band.cols, begin + kBlock);
    float largest = 0;
    for (int64_t r = 0; r < band.rows(); ++r) {
      const float* row = band.values.data() + r * band.cols;
      for (int64_t c = begin; c < end; ++c) largest = std::max(largest, std::abs(row[c]));
    }
    const float scale = largest > 0 ? std::max(largest / quant::kE4m3Largest, 0x1p-126f) : 1;
    std::memcpy(scales, &scale, sizeof(scale));
    for (int64_t r = 0; r < band.rows(); ++r) {
      for (int64_t i = r * band.cols + begin; i < r * band.cols + end; ++i)
        codes[i] = static_cast<std::byte>(quant::f32_to_e4m3(band.values[static_cast<size_t>(i)] / scale));
    }
  }
}

base::JsonObject fp8_config(const SchemeOptions&, const std::vector<std::string>& left_out) {
  return {{"quant_method", "fp8"},
          {"fmt", "e4m3"},
          {"activation_scheme", "dynamic"},
          {"weight_block_size", base::JsonArray{kBlock, kBlock}},
          {"modules_to_not_convert", texts(left_out)}};
}

// --- int4 ---

constexpr std::string_view kWeight = ".weight";

SchemeOptions int4_options(std::span<const PlainMatrix> matrices, bool half) {
  constexpr int64_t kSmallest = kGroups[std::size(kGroups) - 1];
  const auto divides = [&](int64_t group) {
    return std::all_of(matrices.begin(), matrices.end(),
                       [&](const auto& m) { return m.cols() % kSmallest != 0 || m.cols() % group == 0; });
  };
  return {*std::find_if(std::begin(kGroups), std::end(kGroups) - 1, divides), half};
}

// Latent attention's heads stay plain. They are small, and cost a third of the mean KL of demo-deepseek.
absl::StatusOr<bool> int4_holds(const PlainMatrix& m, const SchemeOptions& options) {
  if (m.heads) return false;
  if (m.shape.rank() == 2 && !m.transposed && absl::EndsWith(m.name, std::string(kWeight)))
    return m.cols() % options.group == 0;
  return absl::UnimplementedError(absl::StrCat("tensor ", m.name, ": int4 takes matrices of one module each, outputs ",
                                               "by inputs; this one has shape ", m.shape.text(),
                                               ". --to fp8 takes it"));
}

std::vector<NewTensor> int4_tensors(const PlainMatrix& m, const SchemeOptions& options) {
  const int64_t words = m.cols() / kInWord, groups = m.cols() / options.group;
  const auto bytes = [&](int64_t n, size_t element) { return static_cast<uint64_t>(m.rows() * n) * element; };
  return {{m.name + "_packed", "I32", {m.rows(), words}, bytes(words, sizeof(int32_t))},
          {m.name + "_scale", options.half_scales ? "F16" : "BF16", {m.rows(), groups}, bytes(groups, 2)},
          {m.name + "_shape", "I64", {2}, 2 * sizeof(int64_t)}};
}

void pack_int4(const Band& band, const SchemeOptions& options, std::byte* codes, std::byte* scales) {
  const auto group = static_cast<size_t>(options.group), cols = static_cast<size_t>(band.cols);
  for (size_t begin = 0; begin < band.values.size(); begin += group, scales += sizeof(uint16_t)) {
    const std::span<const float> values = band.values.subspan(begin, group);
    const auto importance = band.importance.empty() ? band.importance : band.importance.subspan(begin % cols, group);
    const float exact = quant::fit_positive_scale(values, kLevels, importance);
    const uint16_t bits = options.half_scales ? tensor::f32_to_f16(exact) : tensor::f32_to_bf16(exact);
    const float scale = options.half_scales ? tensor::f16_to_f32(bits) : tensor::bf16_to_f32(bits);
    std::memcpy(scales, &bits, sizeof(bits));
    for (size_t i = 0; i < group; i += 2) {  // words are little-endian, the first code low
      const auto code = [&](size_t at) { return quant::quantized(values[at], scale, -kLevels, kLevels - 1) + kLevels; };
      codes[(begin + i) / 2] = static_cast<std::byte>(code(i) | code(i + 1) << 4);
    }
  }
}

base::JsonObject int4_config(const SchemeOptions& options, const std::vector<std::string>& left_out) {
  base::JsonObject weights{{"num_bits", 4},
                           {"type", "int"},
                           {"symmetric", true},
                           {"strategy", "group"},
                           {"group_size", options.group},
                           {"dynamic", false},
                           {"actorder", nullptr},
                           {"block_structure", nullptr},
                           {"observer", "minmax"},
                           {"observer_kwargs", base::JsonObject{}}};
  base::JsonObject group{{"targets", base::JsonArray{"Linear"}},
                         {"input_activations", nullptr},
                         {"output_activations", nullptr},
                         {"weights", std::move(weights)}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups", base::JsonObject{{"group_0", std::move(group)}}},
          {"ignore", texts(left_out)},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr}};
}

constexpr SchemeWriter kWriters[] = {
    {"fp8", kBlock, kBlock, false, fp8_options, fp8_holds, fp8_tensors, pack_fp8, fp8_config},
    {"int4", kTaskRows, 1, true, int4_options, int4_holds, int4_tensors, pack_int4, int4_config},
};

}  // namespace

std::span<const SchemeWriter> scheme_writers() { return kWriters; }

const SchemeWriter* find_scheme_writer(std::string_view name) {
  for (const SchemeWriter& writer : kWriters) {
    if (writer.name == name) return &writer;
  }
  return nullptr;
}

}  // namespace polymath::commands
