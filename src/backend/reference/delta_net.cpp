#include "backend/reference/delta_net.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/reference/values.h"

namespace polymath::backend {
namespace {

float sigmoid(float v) { return 1 / (1 + std::exp(-v)); }
float silu(float v) { return v * sigmoid(v); }
float softplus(float v) { return v > 20 ? v : std::log1p(std::exp(v)); }

// One sequence's pass over its rows of a step.
class DeltaNet {
 public:
  DeltaNet(const DeltaNetParams& params, const DeltaNetTensors& tensors, float* state)
      : p_(params),
        s_(params.shape),
        t_(tensors),
        history_(state),
        matrices_(state + s_.conv_elements()),
        mixed_(static_cast<size_t>(s_.conv_width())),
        raw_(mixed_.size()),
        out_(static_cast<size_t>(s_.value_dim)) {}

  void token(int64_t row) {
    gather(row);
    convolve();
    const int per_key = s_.values_per_key();
    for (int k = 0; k < s_.key_heads; ++k) {
      normalize(&mixed_[static_cast<size_t>(k) * s_.key_dim], 1 / std::sqrt(static_cast<float>(s_.key_dim)));
      normalize(&mixed_[static_cast<size_t>(s_.key_heads + k) * s_.key_dim], 1);
      for (int i = 0; i < per_key; ++i) head(row, k, i);
    }
  }

 private:
  int64_t group_width() const { return 2 * s_.key_dim + 2 * int64_t{s_.values_per_key()} * s_.value_dim; }
  float projected(int64_t row, int key_head, int64_t col) const {
    return load(t_.qkvz, row, key_head * group_width() + col);
  }

  // Reorders a row from groups of key heads to all q, all k, all v.
  void gather(int64_t row) {
    const int64_t dim = s_.key_dim, values = int64_t{s_.values_per_key()} * s_.value_dim;
    const int64_t keys = s_.key_heads * dim;
    for (int k = 0; k < s_.key_heads; ++k) {
      for (int64_t c = 0; c < dim; ++c) {
        raw_[static_cast<size_t>(k * dim + c)] = projected(row, k, c);
        raw_[static_cast<size_t>(keys + k * dim + c)] = projected(row, k, dim + c);
      }
      for (int64_t c = 0; c < values; ++c) {
        raw_[static_cast<size_t>(2 * keys + k * values + c)] = projected(row, k, 2 * dim + c);
      }
    }
  }

  // The newest input has the last tap. The history moves on by one token.
  void convolve() {
    const int64_t width = s_.conv_width();
    const int past = s_.conv_kernel - 1;
    for (int64_t c = 0; c < width; ++c) {
      const float* taps = p_.conv + c * s_.conv_kernel;
      float sum = taps[past] * raw_[static_cast<size_t>(c)];
      for (int j = 0; j < past; ++j) sum += taps[j] * history_[j * width + c];
      mixed_[static_cast<size_t>(c)] = silu(sum);
    }
    if (past == 0) return;
    std::copy(history_ + width, history_ + past * width, history_);
    std::copy(raw_.begin(), raw_.end(), history_ + (past - 1) * width);
  }

  void normalize(float* x, float scale) const {
    float sum = 0;
    for (int c = 0; c < s_.key_dim; ++c) sum += x[c] * x[c];
    const float factor = scale / std::sqrt(sum + 1e-6f);
    for (int c = 0; c < s_.key_dim; ++c) x[c] *= factor;
  }

  void head(int64_t row, int key_head, int i) {
    const int per_key = s_.values_per_key(), h = key_head * per_key + i;
    const float b = load(t_.ba, row, key_head * 2 * per_key + i);
    const float a = load(t_.ba, row, key_head * 2 * per_key + per_key + i);
    const float decay = std::exp(-std::exp(p_.a_log[h]) * softplus(a + p_.dt_bias[h]));
    const float* q = &mixed_[static_cast<size_t>(key_head) * s_.key_dim];
    const float* k = &mixed_[static_cast<size_t>(s_.key_heads + key_head) * s_.key_dim];
    const float* v =
        &mixed_[static_cast<size_t>(2) * s_.key_heads * s_.key_dim + static_cast<size_t>(h) * s_.value_dim];
    float* matrix = matrices_ + int64_t{h} * s_.key_dim * s_.value_dim;
    for (int c = 0; c < s_.value_dim; ++c) {
      float known = 0, sum = 0;
      for (int r = 0; r < s_.key_dim; ++r) known += k[r] * (matrix[r * s_.value_dim + c] *= decay);
      const float delta = sigmoid(b) * (v[c] - known);
      for (int r = 0; r < s_.key_dim; ++r) sum += q[r] * (matrix[r * s_.value_dim + c] += k[r] * delta);
      out_[static_cast<size_t>(c)] = sum;
    }
    finish(row, key_head, i);
  }

  void finish(int64_t row, int key_head, int i) {
    const int per_key = s_.values_per_key();
    float squares = 0;
    for (const float v : out_) squares += v * v;
    const float factor = 1 / std::sqrt(squares / static_cast<float>(s_.value_dim) + p_.eps);
    const int64_t z_begin = 2 * s_.key_dim + int64_t{per_key + i} * s_.value_dim;
    const int64_t to = int64_t{key_head * per_key + i} * s_.value_dim;
    for (int c = 0; c < s_.value_dim; ++c) {
      const float normed = p_.norm[c] * (out_[static_cast<size_t>(c)] * factor);
      store(t_.out, row, to + c, normed * silu(projected(row, key_head, z_begin + c)));
    }
  }

  const DeltaNetParams& p_;
  const DeltaNetShape& s_;
  const DeltaNetTensors& t_;
  float *history_, *matrices_;
  std::vector<float> mixed_, raw_, out_;
};

}  // namespace

void gated_delta_net_on_host(const DeltaNetParams& params, const DeltaNetTensors& tensors, const StateView& states,
                             const StepLayout& layout) {
  for (int seq = 0; seq < layout.n_seqs; ++seq) {
    auto* const state = static_cast<float*>(states.slots) + states.of_seq.i32()[seq] * params.shape.state_elements();
    DeltaNet net(params, tensors, state);
    for (int64_t row = layout.query_start.i32()[seq]; row < layout.query_start.i32()[seq + 1]; ++row) net.token(row);
  }
}

void gate_heads_on_host(const HeadGate& g, const Tensor& gate, const Tensor& x) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (int64_t h = 0; h < g.heads; ++h) {
      for (int64_t c = 0; c < g.dim; ++c) {
        const int64_t at = h * g.dim + c;
        store(x, i, at, load(x, i, at) * sigmoid(load(gate, i, h * g.gate_stride + c)));
      }
    }
  }
}

}  // namespace polymath::backend
