#include "backend/cpu/kv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace polymath::backend::cpu {
namespace {

constexpr int64_t kRun = 256;  // elements converted at a time

// One head's elements in a row of a step's keys or values.
struct HeadRow {
  HeadRow(const Tensor& t, int64_t row, int64_t head, int64_t elements)
      : dtype(t.dtype),
        dim(elements),
        element_bytes(static_cast<int64_t>(tensor::dtype_bytes(t.dtype))),
        data(t.as<std::byte>() + (row * t.stride() + head * dim) * element_bytes) {}

  DType dtype;
  int64_t dim, element_bytes;
  const std::byte* data;
};

// Writes a token's bf16 values into its halves of the words. An even token clears the other halves (see kv.h).
void write_halves(const uint32_t* pairs, int64_t n, int64_t token, std::byte* to) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t half = (pairs[i / 2] >> (i % 2 * 16)) & 0xffffu;
    if (token % 2 == 0) {
      std::memcpy(to + i * kWord, &half, kWord);
    } else {
      std::memcpy(to + i * kWord + 2, &half, 2);
    }
  }
}

class HeadWriter {
 public:
  HeadWriter(const Kernels& kernels, const KvPanels& panels) : kernels_(kernels), p_(panels) {}

  // `to`: the token's column in its key panel.
  void write_key(const HeadRow& key, std::byte* to) const {
    uint32_t words[kRun];
    for (int64_t begin = 0; begin < key.dim; begin += kRun) {
      const int64_t n = std::min(kRun, key.dim - begin), steps = p_.pairs ? (n + 1) / 2 : n;
      read_words(key, begin, n, words);
      std::byte* at = to + (p_.pairs ? begin / 2 : begin) * kPanelStep;
      for (int64_t s = 0; s < steps; ++s) std::memcpy(at + s * kPanelStep, &words[s], kWord);
    }
  }

  // `to`: the head's value panels in the block; `token`: of the block.
  void write_value(const HeadRow& value, int64_t token, std::byte* to) const {
    uint32_t words[kRun];
    for (int64_t begin = 0; begin < value.dim; begin += kRun) {
      const int64_t n = std::min(kRun, value.dim - begin);
      read_words(value, begin, n, words);
      for (int64_t c = 0; c < n; c += kPanel) {
        std::byte* at = to + (begin + c) / kPanel * p_.value_panel_bytes + (p_.pairs ? token / 2 : token) * kPanelStep;
        const int64_t width = std::min<int64_t>(kPanel, n - c);
        if (p_.pairs) {
          write_halves(words + c / 2, width, token, at);
        } else {
          std::memcpy(at, words + c, width * kWord);
        }
      }
    }
  }

 private:
  void read_words(const HeadRow& row, int64_t begin, int64_t n, uint32_t* out) const {
    const void* from = row.data + begin * row.element_bytes;
    kernels_.pack({&from, 1, n, row.dtype, p_.pairs, /*int8=*/false, 1, out});
  }

  const Kernels& kernels_;
  const KvPanels& p_;
};

// Codes of one head's row, in f32 first.
class PackedRow {
 public:
  PackedRow(const HeadRow& row, const KvCodec& codec) : row_(row), codec_(codec) {
    float largest = 0;
    for (int64_t i = 0; i < row.dim; ++i) {
      const float v = std::abs(value(i));
      if (!(v <= largest)) largest = v;  // a NaN stays
    }
    scale_ = kv_scale(largest, codec);
  }

  float scale() const { return scale_; }
  std::byte code(int64_t i) const {
    return scale_ > 0 ? static_cast<std::byte>(codec_.encode(value(i) / scale_)) : std::byte{0};
  }

 private:
  float value(int64_t i) const {
    if (row_.dtype == DType::kF32) return reinterpret_cast<const float*>(row_.data)[i];
    return tensor::bf16_to_f32(reinterpret_cast<const uint16_t*>(row_.data)[i]);
  }

  const HeadRow& row_;
  const KvCodec& codec_;
  float scale_ = 0;
};

// A token's head in a block.
struct HeadPlace {
  std::byte* block;
  int64_t head, token;
};

// `value`: null in a latent cache.
void write_packed(const KvPanels& p, const HeadPlace& at, const HeadRow& key, const HeadRow* value) {
  const KvCodec& codec = kv_codec(p.shape.packing);
  std::byte* const scales = at.block + p.scale_offset(at.head) + at.token * int64_t{sizeof(float)};
  const PackedRow keys(key, codec);
  std::byte* to = at.block + p.key_offset(at.head, at.token) + at.token % kPanel * 2;
  for (int64_t i = 0; i < key.dim; ++i) to[i / 2 * p.step_bytes + i % 2] = keys.code(i);
  const float key_scale = keys.scale();
  std::memcpy(scales, &key_scale, sizeof(float));
  if (value == nullptr) return;
  const PackedRow values(*value, codec);
  to = at.block + p.value_offset(at.head) + at.token / 2 * p.step_bytes + at.token % 2;
  for (int64_t i = 0; i < value->dim; ++i) to[i / kPanel * p.value_panel_bytes + i % kPanel * 2] = values.code(i);
  const float value_scale = values.scale();
  std::memcpy(scales + p.shape.block_size * int64_t{sizeof(float)}, &value_scale, sizeof(float));
}

// One panel of f32 keys. Element d of its tokens becomes column d % kPanel of value panel d / kPanel.
void transpose_words(const std::byte* keys, int64_t dims, int64_t panel_bytes, std::byte* values) {
  for (int64_t d = 0; d < dims; ++d) {
    std::byte* to = values + d / kPanel * panel_bytes + d % kPanel * kWord;
    for (int i = 0; i < kPanel; ++i) std::memcpy(to + i * kPanelStep, keys + d * kPanelStep + i * kWord, kWord);
  }
}

// The same for bf16. A word holds two tokens. If its second one is not below n, it is another sequence's and becomes 0.
void transpose_pairs(const std::byte* keys, int64_t dims, int64_t panel_bytes, int64_t n, std::byte* values) {
  for (int64_t d = 0; d < dims; d += 2) {
    std::byte* to = values + d / kPanel * panel_bytes + d % kPanel * kWord;
    for (int i = 0; i < kPanel / 2; ++i) {
      uint64_t two;  // elements d, d + 1 of a token, then of the next
      std::memcpy(&two, keys + d / 2 * kPanelStep + i * 8, 8);
      if (2 * i + 1 >= n) two &= 0xffffffffu;
      const uint64_t even = (two & 0xffff) | ((two >> 16) & 0xffff0000u);
      const uint64_t odd = ((two >> 16) & 0xffff) | ((two >> 32) & 0xffff0000u);
      const uint64_t both = even | odd << 32;
      std::memcpy(to + i * kPanelStep, &both, 8);
    }
  }
}

}  // namespace

KvPanels::KvPanels(const KvShape& s)
    : shape(s),
      pairs(s.dtype == DType::kBf16),
      packed(s.packing != KvPacking::kNone),
      step_bytes(packed ? kPanelStep / 2 : kPanelStep) {
  key_steps = pairs ? (s.key_dim + 1) / 2 : s.key_dim;
  block_steps = pairs ? s.block_size / 2 : s.block_size;
  value_panels = (s.value_dim + kPanel - 1) / kPanel;
  key_panel_bytes = key_steps * step_bytes;
  value_panel_bytes = block_steps * step_bytes;
  scale_bytes = packed ? s.block_size * (s.latent ? 1 : 2) * int64_t{sizeof(float)} : 0;
  head_bytes =
      s.block_size / kPanel * key_panel_bytes + (s.latent ? 0 : value_panels * value_panel_bytes) + scale_bytes;
  block_bytes = s.n_kv_heads * head_bytes;
}

absl::Status check_kv(const KvShape& s) {
  if ((s.dtype != DType::kF32 && s.dtype != DType::kBf16) ||
      (s.packing != KvPacking::kNone && s.dtype != DType::kBf16)) {
    return absl::InvalidArgumentError("the KV cache of the cpu backend is float32 or bfloat16, or packed");
  }
  if (s.block_size < kPanel || s.block_size > kRunTokens || s.block_size % kPanel != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a KV block of ", s.block_size, " tokens: the cpu backend keeps ",
                                                   kPanel, " to ", kRunTokens, ", a multiple of ", kPanel));
  }
  return absl::OkStatus();
}

void kv_write(Context& c, const KvLayer& kv, const Tensor& k, const Tensor& v, const Tensor& slots) {
  const KvPanels p(kv.shape);
  const KvShape& s = kv.shape;
  CHECK(k.cols() == static_cast<int64_t>(s.n_kv_heads) * s.key_dim && slots.shape[0] == k.rows());
  CHECK(s.latent || (v.rows() == k.rows() && v.cols() == static_cast<int64_t>(s.n_kv_heads) * s.value_dim));
  const int32_t* slot = slots.i32();
  // One thread writes a head's tokens in order, because two tokens share a word (write_halves).
  const HeadWriter writer(c.kernels, p);
  const double bytes = static_cast<double>(k.rows()) * s.n_kv_heads * (s.key_dim + s.value_dim) * 16;
  c.team.for_each(Context::worth_sharing(bytes, 0), s.n_kv_heads, [&](int64_t head) {
    for (int64_t i = 0; i < k.rows(); ++i) {
      CHECK(slot[i] >= 0 && slot[i] < s.n_blocks * s.block_size);
      const int64_t token = slot[i] % s.block_size;
      std::byte* block = static_cast<std::byte*>(kv.data) + slot[i] / s.block_size * p.block_bytes;
      const HeadRow key(k, i, head, s.key_dim);
      const HeadRow value = s.latent ? key : HeadRow(v, i, head, s.value_dim);
      if (p.packed) {
        write_packed(p, {block, head, token}, key, s.latent ? nullptr : &value);
        continue;
      }
      writer.write_key(key, block + p.key_offset(head, token) + token % kPanel * kWord);
      if (!s.latent) writer.write_value(value, token, block + p.value_offset(head));
    }
  });
}

void transpose_latent(const KvPanels& p, std::span<const std::byte* const> key_panels, int n, std::byte* values) {
  const int64_t dims = p.shape.value_dim;
  const int64_t panel_bytes = (p.pairs ? kRunTokens / 2 : kRunTokens) * kPanelStep;
  for (size_t panel = 0; panel < key_panels.size(); ++panel) {
    const int64_t token = static_cast<int64_t>(panel) * kPanel;
    if (p.pairs) {
      transpose_pairs(key_panels[panel], dims, panel_bytes, n - token, values + token / 2 * kPanelStep);
    } else {
      transpose_words(key_panels[panel], dims, panel_bytes, values + token * kPanelStep);
    }
  }
}

}  // namespace polymath::backend::cpu
