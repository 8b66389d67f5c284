#include "backend/cpu/kv.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace polymath::backend::cpu {
namespace {

constexpr int64_t kRun = 256;  // numbers converted at a time

const void* number_pointer(const Tensor& t, int64_t row, int64_t col) {
  return t.as<std::byte>() + (row * t.stride() + col) * static_cast<int64_t>(tensor::dtype_bytes(t.dtype));
}

// The words of numbers [begin, begin + n) of a row.
void read_words(const Kernels& kernels, const Tensor& t, int64_t row, int64_t begin, int64_t n, bool pairs,
                uint32_t* out) {
  const void* from = number_pointer(t, row, begin);
  kernels.pack({&from, 1, n, t.dtype, pairs, out});
}

void write_key(const Kernels& kernels, const KvPanels& p, const Tensor& k, int64_t row, int64_t head, std::byte* to) {
  uint32_t words[kRun];
  const int64_t dim = p.shape.key_dim;
  for (int64_t begin = 0; begin < dim; begin += kRun) {
    const int64_t n = std::min(kRun, dim - begin), steps = p.pairs ? (n + 1) / 2 : n;
    read_words(kernels, k, row, head * dim + begin, n, p.pairs, words);
    std::byte* at = to + (p.pairs ? begin / 2 : begin) * kPanelStep;
    for (int64_t s = 0; s < steps; ++s) std::memcpy(at + s * kPanelStep, &words[s], kWord);
  }
}

void write_value(const Kernels& kernels, const KvPanels& p, const Tensor& v, int64_t row, int64_t head, int64_t token,
                 std::byte* to) {
  uint32_t words[kRun];
  const int64_t dim = p.shape.value_dim;
  for (int64_t begin = 0; begin < dim; begin += kRun) {
    const int64_t n = std::min(kRun, dim - begin);
    read_words(kernels, v, row, head * dim + begin, n, p.pairs, words);
    for (int64_t c = 0; c < n; c += kPanel) {
      std::byte* at = to + (begin + c) / kPanel * p.value_panel_bytes + (p.pairs ? token / 2 : token) * kPanelStep;
      const int64_t width = std::min<int64_t>(kPanel, n - c);
      if (!p.pairs) {
        std::memcpy(at, words + c, width * kWord);
        continue;
      }
      for (int64_t i = 0; i < width; ++i) {
        const uint32_t half = (words[(c + i) / 2] >> ((c + i) % 2 * 16)) & 0xffffu;
        if (token % 2 == 0) {
          std::memcpy(at + i * kWord, &half, kWord);
        } else {
          std::memcpy(at + i * kWord + 2, &half, 2);
        }
      }
    }
  }
}

}  // namespace

KvPanels::KvPanels(const KvShape& s) : shape(s), pairs(s.dtype == DType::kBf16) {
  key_steps = pairs ? (s.key_dim + 1) / 2 : s.key_dim;
  block_steps = pairs ? s.block_size / 2 : s.block_size;
  value_panels = (s.value_dim + kPanel - 1) / kPanel;
  key_panel_bytes = key_steps * kPanelStep;
  value_panel_bytes = block_steps * kPanelStep;
  head_bytes = s.block_size / kPanel * key_panel_bytes + (s.latent ? 0 : value_panels * value_panel_bytes);
  block_bytes = s.n_kv_heads * head_bytes;
}

absl::Status check_kv(const KvShape& s) {
  if (s.dtype != DType::kF32 && s.dtype != DType::kBf16) {
    return absl::InvalidArgumentError("the KV cache of the cpu backend is float32 or bfloat16");
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
  // A head's tokens are written in order by one thread: see the half-words above.
  const double bytes = static_cast<double>(k.rows()) * s.n_kv_heads * (s.key_dim + s.value_dim) * 16;
  c.team.for_each(Context::worth_sharing(bytes, 0), s.n_kv_heads, [&](int64_t head) {
    for (int64_t i = 0; i < k.rows(); ++i) {
      CHECK(slot[i] >= 0 && slot[i] < s.n_blocks * s.block_size);
      const int64_t token = slot[i] % s.block_size;
      std::byte* block = static_cast<std::byte*>(kv.data) + slot[i] / s.block_size * p.block_bytes;
      write_key(c.kernels, p, k, i, head, block + p.key_offset(head, token) + token % kPanel * kWord);
      if (!s.latent) write_value(c.kernels, p, v, i, head, token, block + p.value_offset(head));
    }
  });
}

void transpose_latent(const KvPanels& p, std::span<const std::byte* const> key_panels, int n, std::byte* values) {
  const int64_t dims = p.shape.value_dim;
  const int64_t panel_bytes = (p.pairs ? kRunTokens / 2 : kRunTokens) * kPanelStep;
  for (size_t panel = 0; panel < key_panels.size(); ++panel) {
    const std::byte* keys = key_panels[panel];
    const int64_t token = static_cast<int64_t>(panel) * kPanel;
    if (!p.pairs) {
      for (int64_t d = 0; d < dims; ++d) {
        std::byte* to = values + d / kPanel * panel_bytes + token * kPanelStep + d % kPanel * kWord;
        for (int i = 0; i < kPanel; ++i) std::memcpy(to + i * kPanelStep, keys + d * kPanelStep + i * kWord, kWord);
      }
      continue;
    }
    for (int64_t d = 0; d < dims; d += 2) {
      std::byte* to = values + d / kPanel * panel_bytes + token / 2 * kPanelStep + d % kPanel * kWord;
      for (int i = 0; i < kPanel / 2; ++i) {
        uint64_t two;  // numbers d, d + 1 of a token, then of the next
        std::memcpy(&two, keys + d / 2 * kPanelStep + i * 8, 8);
        if (token + 2 * i + 1 >= n) two &= 0xffffffffu;  // the next one is not of this sequence
        const uint64_t even = (two & 0xffff) | ((two >> 16) & 0xffff0000u);
        const uint64_t odd = ((two >> 16) & 0xffff) | ((two >> 32) & 0xffff0000u);
        const uint64_t both = even | odd << 32;
        std::memcpy(to + i * kPanelStep, &both, 8);
      }
    }
  }
}

}  // namespace polymath::backend::cpu
