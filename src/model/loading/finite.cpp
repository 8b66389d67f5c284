#include "model/loading/finite.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/loading/weight_table.h"
#include "model/slots.h"
#include "quant/format.h"

namespace polymath::model {
namespace {

// "element 17 is nan"; empty: all are finite in `dtype`. REQUIRES: the tensor is of a format of weights.
std::string complaint(const weights::RawTensor& raw, tensor::DType dtype) {
  constexpr int64_t kAtOnce = 4096;  // whole blocks of every format
  const quant::QuantFormat& stored = *raw.format;
  CHECK(kAtOnce % stored.block_cols == 0);
  const quant::QuantFormat& kept = quant::plain_format(dtype);
  std::vector<float> values(kAtOnce), rounded(kAtOnce);
  std::vector<std::byte> packed(static_cast<size_t>(kAtOnce * kept.block_bytes));
  for (int64_t begin = 0; begin < raw.shape.elements(); begin += kAtOnce) {
    const int64_t n = std::min(kAtOnce, raw.shape.elements() - begin);
    stored.dequantize({raw.data}, begin, values.data(), n);
    kept.quantize(values.data(), packed.data(), n);
    kept.dequantize({packed.data()}, 0, rounded.data(), n);
    const auto bad = std::find_if_not(rounded.begin(), rounded.begin() + n, [](float v) { return std::isfinite(v); });
    const int64_t i = bad - rounded.begin();
    if (i == n) continue;
    const float value = values[static_cast<size_t>(i)];
    return absl::StrCat("element ", begin + i, " is ", value,
                        std::isfinite(value) ? ", too large for " + std::string(tensor::dtype_name(dtype)) : "");
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> first_non_finite(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                             tensor::DType dtype) {
  const WeightTable table(config, checkpoint);
  for (const Slot& slot : slots(config)) {
    // A router loses nothing in its kept format: checking it in f32 is enough.
    const tensor::DType kept = slot.is_vector() || slot.use == quant::WeightUse::kRouter ? tensor::DType::kF32 : dtype;
    const std::string* last = nullptr;
    const std::vector<PieceSource> pieces = table.pieces(slot);
    for (const PieceSource& piece : pieces) {
      if (last != nullptr && *last == piece.tensor) continue;
      last = &piece.tensor;
      ASSIGN_OR_RETURN(const weights::RawTensor raw, checkpoint.read(piece.tensor, piece.expected));
      const std::string what = complaint(raw, kept);
      checkpoint.release(piece.tensor);
      if (what.empty()) continue;
      return absl::StrCat(weights::place_of(checkpoint, piece.tensor),
                          slot.layer < 0 ? "" : absl::StrCat(" (layer ", slot.layer, ")"), ": ", what);
    }
  }
  return "";
}

}  // namespace polymath::model
