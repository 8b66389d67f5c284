#include "model/step_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace polymath::model {

using tensor::DType;
using tensor::Tensor;

namespace {

constexpr size_t kAlignment = 4;  // in words: every array begins at 16 bytes
constexpr size_t kArrays = 14;
constexpr size_t kSampleWords = sizeof(backend::SampleParams) / sizeof(int32_t);

// The batch's numbers, then `fill`.
void copy(std::span<const int32_t> from, int32_t* to, int64_t n, int32_t fill) {
  CHECK(static_cast<int64_t>(from.size()) <= n);
  std::copy(from.begin(), from.end(), to);
  std::fill(to + from.size(), to + n, fill);
}

}  // namespace

size_t StepInputs::words(const backend::StepLimits& limits) {
  const auto tokens = static_cast<size_t>(limits.tokens_max), seqs = static_cast<size_t>(limits.seqs_max),
             rows = static_cast<size_t>(limits.logit_rows_max);
  return 6 * tokens + 3 * seqs + 1 + (1 + kSampleWords) * rows + seqs * static_cast<size_t>(limits.blocks_max) + 1 +
         kArrays * kAlignment;
}

absl::StatusOr<StepInputs> StepInputs::create(backend::Backend& backend, const backend::StepLimits& limits,
                                              layers::QueryTemperature temperature) {
  StepInputs s;
  s.temperature_ = temperature;
  s.blocks_max_ = limits.blocks_max;
  ASSIGN_OR_RETURN(s.device_, backend.allocate(bytes(limits)));
  s.host_.resize(words(limits));
  return s;
}

template <typename T>
Tensor StepInputs::place(int64_t n, DType dtype, T** host) {
  static_assert(sizeof(T) % sizeof(int32_t) == 0);
  const size_t words = static_cast<size_t>(n) * sizeof(T) / sizeof(int32_t);
  CHECK(used_ + words <= host_.size());
  *host = reinterpret_cast<T*>(host_.data() + used_);
  const Tensor t{dtype, {n}, static_cast<int32_t*>(device_.data()) + used_};
  used_ += (words + kAlignment - 1) / kAlignment * kAlignment;
  used_ = std::min(used_, host_.size());
  return t;
}

StepViews StepInputs::put(backend::Backend& backend, const Batch& batch, int rows) {
  const int64_t n = rows > 0 ? rows : batch.n_tokens(), seqs = rows > 0 ? rows : batch.n_seqs();
  const int64_t logits = rows > 0 ? rows : static_cast<int64_t>(batch.logit_rows.size());
  const int64_t width = std::max(1, batch.block_table_width);
  used_ = 0;
  StepViews v;
  v.n = n;
  int32_t* words = nullptr;
  const Tensor cols = place(1, DType::kI32, &words);
  *words = static_cast<int32_t>(width);
  v.tokens = place(n, DType::kI32, &words);
  copy(batch.tokens, words, n, -1);
  v.token_rows = place(n, DType::kI32, &words);
  copy(batch.token_rows, words, n, -1);
  auto& layout = v.layout;
  layout.n_tokens = static_cast<int>(n);
  layout.n_seqs = static_cast<int>(seqs);
  layout.positions = place(n, DType::kI32, &words);
  copy(batch.positions, words, n, 0);
  float* factors = nullptr;
  const Tensor of_rows = place(temperature_.floor > 0 ? n : 0, DType::kF32, &factors);
  if (temperature_.floor > 0) {
    for (int64_t i = 0; i < n; ++i) {
      const float turns = std::floor((static_cast<float>(words[i]) + temperature_.shift) / temperature_.floor);
      factors[i] = std::log(turns + 1.0f) * temperature_.scale + 1.0f;
    }
    v.factors = of_rows.f32();
  }
  layout.slots = place(n, DType::kI32, &words);
  copy(batch.slots, words, n, -1);
  layout.query_start = place(seqs + 1, DType::kI32, &words);
  copy(batch.query_start, words, seqs + 1, 0);
  for (int64_t i = static_cast<int64_t>(batch.query_start.size()); i <= seqs; ++i) words[i] = static_cast<int32_t>(i);
  layout.kv_len = place(seqs, DType::kI32, &words);
  copy(batch.kv_len, words, seqs, 0);
  if (rows == 0) layout.keys_most = seqs > 0 ? *std::max_element(words, words + seqs) : 0;
  v.logit_rows = place(logits, DType::kI32, &words);
  copy(batch.logit_rows, words, logits, 0);
  backend::SampleParams* sampling = nullptr;
  v.sampling = place(logits, DType::kI32, &sampling).as<backend::SampleParams>();
  std::copy(batch.sampling.begin(), batch.sampling.end(), sampling);
  std::fill(sampling + batch.sampling.size(), sampling + logits, backend::SampleParams{});
  if (!batch.adapters.empty()) {
    v.adapters = place(n, DType::kI32, &words);
    for (int64_t i = 0; i < seqs; ++i) {
      std::fill(words + batch.query_start[i], words + batch.query_start[i + 1], batch.adapters[i]);
    }
  }
  if (!batch.state_slots.empty()) {
    v.state_slots = place(seqs, DType::kI32, &words);
    copy(batch.state_slots, words, seqs, 0);
  }
  // Last, since its size changes from step to step.
  layout.block_table = place(seqs * width, DType::kI32, &words);
  copy(batch.block_table, words, seqs * width, 0);
  layout.block_table.shape = {seqs, rows > 0 ? blocks_max_ : width};
  if (rows > 0) layout.block_table_cols = cols;
  backend.copy_in({DType::kI32, {static_cast<int64_t>(used_)}, device_.data()}, host_.data());
  return v;
}

}  // namespace polymath::model
