#include "weights/schemes/grouped.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/threads.h"
#include "quant/formats/tables.h"
#include "quant/fp8.h"

namespace polymath::weights {
namespace {

using quant::QuantFormat;

constexpr int64_t kSharedValuesMin = 1 << 18;  // fewer are packed by one thread
constexpr int64_t kPanelRows = 128;  // rows whose codes are unpacked together: words hold neighbours of several rows
constexpr int kPart = 32, kHalf = kPart / 2;
constexpr int kNvGroup = 16;

uint32_t word_at(const std::byte* data, int64_t i) {
  uint32_t word;
  std::memcpy(&word, data + i * 4, sizeof(word));
  return word;
}

// Codes of rows [begin, begin + n), a byte each, [n, cols].
struct Panel {
  int64_t begin = 0, n = 0;
  std::vector<uint8_t> codes;
};

void read_rowwise(const CodeSource& source, int64_t cols, Panel& panel) {
  for (int64_t r = 0; r < panel.n; ++r) {
    const auto* row = reinterpret_cast<const uint8_t*>(source.data) + (panel.begin + r) * source.row_bytes;
    uint8_t* out = panel.codes.data() + r * cols;
    if (source.packing == Packing::kBytes) {
      std::memcpy(out, row, static_cast<size_t>(cols));
      continue;
    }
    const int first = source.packing == Packing::kNibbles ? 0 : 4;
    for (int64_t c = 0; c < cols; ++c) out[c] = row[c / 2] >> (c % 2 == 0 ? first : 4 - first) & 15;
  }
}

void read_gptq(const CodeSource& source, const GroupedMatrix& m, Panel& panel) {
  const int in_word = 32 / source.bits;
  const uint32_t mask = (1u << source.bits) - 1;
  for (int64_t c = 0; c < m.shape.cols; c += in_word) {
    for (int64_t r = 0; r < panel.n; ++r) {
      const uint32_t word = word_at(source.data, c / in_word * m.rows + panel.begin + r);
      uint8_t* out = panel.codes.data() + r * m.shape.cols + c;
      for (int i = 0; i < in_word; ++i) out[i] = static_cast<uint8_t>(word >> (i * source.bits) & mask);
    }
  }
}

void read_awq(const CodeSource& source, const GroupedMatrix& m, Panel& panel) {
  constexpr int kInWord = 8;
  for (int64_t c = 0; c < m.shape.cols; ++c) {
    for (int64_t r = 0; r < panel.n; r += kInWord) {
      const uint32_t word = word_at(source.data, c * (m.rows / kInWord) + (panel.begin + r) / kInWord);
      for (int i = 0; i < kInWord; ++i) {
        panel.codes[static_cast<size_t>((r + kAwqOrder[i]) * m.shape.cols + c)] = word >> (4 * i) & 15;
      }
    }
  }
}

void read_eetq(const CodeSource& source, const GroupedMatrix& m, Panel& panel) {
  constexpr int64_t kTile = kEetqTile, kRun = 16;
  for (int64_t r = 0; r < panel.n; ++r) {
    const int64_t row = panel.begin + r;
    const auto* from = reinterpret_cast<const uint8_t*>(source.data) + row / 2 * 2 * m.shape.cols + row % 2 * kTile;
    uint8_t* out = panel.codes.data() + r * m.shape.cols;
    for (int64_t c = 0; c < m.shape.cols; c += kTile, from += 2 * kTile) {
      for (int64_t i = 0; i < kTile; ++i) out[c + i / kRun * kRun + i % kRun / 2 + i % 2 * (kRun / 2)] = from[i];
    }
  }
}

absl::Status read_codes(const GroupedMatrix& m, Panel& panel) {
  panel.codes.resize(static_cast<size_t>(panel.n * m.shape.cols));
  switch (m.codes.packing) {
    case Packing::kGptq:
      read_gptq(m.codes, m, panel);
      break;
    case Packing::kAwq:
      read_awq(m.codes, m, panel);
      break;
    case Packing::kEetq:
      read_eetq(m.codes, m, panel);
      break;
    default:
      read_rowwise(m.codes, m.shape.cols, panel);
  }
  for (uint8_t& code : panel.codes) code ^= m.codes.flipped;
  if (m.shape.codes != Codes::kFp8) return absl::OkStatus();
  const bool nan =
      std::any_of(panel.codes.begin(), panel.codes.end(), [](uint8_t code) { return (code & 0x7f) == 0x7f; });
  return nan ? absl::InvalidArgumentError("a value is NaN") : absl::OkStatus();
}

// One row of codes, and what its groups have.
struct CodeRow {
  const GroupedMatrix& m;
  const uint8_t* codes;
  int64_t row;
  int64_t first;  // its first group, in `scales`

  int64_t group(int64_t col) const {
    return first + (m.shape.reordered ? m.group_of[static_cast<size_t>(col)] : col / m.shape.group_cols);
  }
  float scale(int64_t col) const { return m.scales[static_cast<size_t>(group(col))]; }
  int zero(int64_t col, int without) const {
    return m.zeros.empty() ? without : m.zeros[static_cast<size_t>(group(col))];
  }
};

float value_of(const CodeRow& row, int64_t c) {
  const uint8_t code = row.codes[c];
  const float scale = row.scale(c);
  switch (row.m.shape.codes) {
    case Codes::kInt4:
      return scale * static_cast<float>(code - row.zero(c, 8));
    case Codes::kInt8:
      return scale * static_cast<float>(code - row.zero(c, 128));
    case Codes::kFp8:
      return scale * quant::e4m3_to_f32(code);
    case Codes::kMxfp4:
      return scale * 0.5f * static_cast<float>(quant::kFp4Doubled[code]);
    case Codes::kNvfp4:
      return row.m.tensor_scale * scale * 0.5f * static_cast<float>(quant::kFp4Doubled[code]);
    case Codes::kNf4:
      return scale * quant::kNf4Values[code];
    case Codes::kTable:
      break;
  }
  return scale * row.m.table[static_cast<size_t>(row.row * 16 + code)];
}

void put_float(std::byte* out, float v) { std::memcpy(out, &v, sizeof(v)); }

// 32 codes as 16 bytes: value j is low, value j + 16 above it.
void put_nibbles(const uint8_t* codes, std::byte* out) {
  for (int j = 0; j < kHalf; ++j) out[j] = static_cast<std::byte>(codes[j] | codes[j + kHalf] << 4);
}

void write_floats(const CodeRow& row, std::byte* out) {
  for (int64_t c = 0; c < row.m.shape.cols; ++c) put_float(out + c * 4, value_of(row, c));
  const SparseValues& added = row.m.added;
  if (added.begins.empty()) return;
  const auto r = static_cast<size_t>(row.row);
  for (int32_t i = added.begins[r]; i < added.begins[r + 1]; ++i) {
    const int32_t c = added.cols[static_cast<size_t>(i)];
    put_float(out + c * 4, value_of(row, c) + added.values[static_cast<size_t>(i)]);
  }
}

template <int kValues>
void write_int4(const CodeRow& row, std::byte* out) {
  for (int64_t c = 0; c < row.m.shape.cols; c += kValues, out += 5 + kValues / 2) {
    put_float(out, row.scale(c));
    out[4] = static_cast<std::byte>(row.zero(c, 8));
    for (int part = 0; part < kValues; part += kPart) put_nibbles(row.codes + c + part, out + 5 + part / 2);
  }
}

void write_q4_0(const CodeRow& row, std::byte* out) {
  for (int64_t c = 0; c < row.m.shape.cols; c += kPart, out += 2 + kHalf) {
    const uint16_t scale = tensor::f32_to_f16(row.scale(c));
    std::memcpy(out, &scale, sizeof(scale));
    put_nibbles(row.codes + c, out + 2);
  }
}

// Bytes as they are, or moved by 128 to signed ones.
template <int kValues, int kMoved>
void write_bytes(const CodeRow& row, std::byte* out) {
  for (int64_t c = 0; c < row.m.shape.cols; c += kValues, out += 4 + kValues) {
    put_float(out, row.scale(c));
    for (int i = 0; i < kValues; ++i) out[4 + i] = static_cast<std::byte>(row.codes[c + i] ^ kMoved);
  }
}

void write_mxfp4(const CodeRow& row, std::byte* out) {
  for (int64_t c = 0; c < row.m.shape.cols; c += kPart, out += 1 + kHalf) {
    out[0] = static_cast<std::byte>(quant::f32_to_e8m0(row.scale(c)));
    put_nibbles(row.codes + c, out + 1);
  }
}

void write_nvfp4(const CodeRow& row, std::byte* out) {
  constexpr int kValues = 64, kScales = kValues / kNvGroup;
  for (int64_t c = 0; c < row.m.shape.cols; c += kValues, out += 4 + kScales + kValues / 2) {
    put_float(out, row.m.tensor_scale);
    for (int i = 0; i < kScales; ++i)
      out[4 + i] = static_cast<std::byte>(quant::f32_to_e4m3(row.scale(c + i * kNvGroup)));
    for (int part = 0; part < kValues; part += kPart) put_nibbles(row.codes + c + part, out + 4 + kScales + part / 2);
  }
}

void write_nf4(const CodeRow& row, std::byte* out) {
  constexpr int kValues = 64;
  for (int64_t c = 0; c < row.m.shape.cols; c += kValues, out += 4 + kValues / 2) {
    put_float(out, row.scale(c));
    for (int part = 0; part < kValues; part += kPart) put_nibbles(row.codes + c + part, out + 4 + part / 2);
  }
}

struct Target {
  std::string_view format;
  Codes codes;
  int values;  // of a block: they must share a scale, but for kNvfp4's
  void (*write)(const CodeRow& row, std::byte* out);
};

// Best first.
constexpr Target kTargets[] = {
    {"int4_g128", Codes::kInt4, 128, write_int4<128>},
    {"q4_0", Codes::kInt4, 32, write_q4_0},
    {"int4_g32", Codes::kInt4, 32, write_int4<32>},
    {"int8_g128", Codes::kInt8, 128, write_bytes<128, 0x80>},
    {"int8_g32", Codes::kInt8, 32, write_bytes<32, 0x80>},
    {"fp8_g128", Codes::kFp8, 128, write_bytes<128, 0>},
    {"fp8_g32", Codes::kFp8, 32, write_bytes<32, 0>},
    {"mxfp4", Codes::kMxfp4, 32, write_mxfp4},
    {"nvfp4", Codes::kNvfp4, 64, write_nvfp4},
    {"nf4", Codes::kNf4, 64, write_nf4},
};

bool fits(const Target& target, const GroupShape& shape) {
  if (target.codes != shape.codes || shape.reordered || shape.cols % target.values != 0) return false;
  if (target.codes == Codes::kNvfp4) return shape.group_cols == kNvGroup;
  if (target.format == "q4_0" && (shape.zeros || !shape.half_scales)) return false;
  if (target.codes == Codes::kInt8 && shape.zeros) return false;
  return shape.group_cols % target.values == 0 || shape.group_cols >= shape.cols;
}

// Parameters that a block has no room for.
absl::Status check_params(const GroupedMatrix& m, std::string_view format) {
  const float most = format == "q4_0" ? 65504.0f : std::numeric_limits<float>::max();
  for (const float scale : m.scales) {
    if (!(std::abs(scale) <= most)) return absl::InvalidArgumentError(absl::StrCat("a scale is ", scale));
  }
  if (!std::isfinite(m.tensor_scale)) return absl::InvalidArgumentError("the tensor's scale is not finite");
  return absl::OkStatus();
}

}  // namespace

const QuantFormat& format_of(const GroupShape& shape) {
  const auto* at =
      std::find_if(std::begin(kTargets), std::end(kTargets), [&](const Target& target) { return fits(target, shape); });
  return at == std::end(kTargets) ? quant::kF32 : *quant::find_format(at->format);
}

namespace {

// Where a matrix's groups are, and where its rows go.
struct Packer {
  Packer(const GroupedMatrix& matrix, const QuantFormat& format, std::byte* to)
      : m(matrix), row_bytes(format.bytes_of(matrix.shape.cols)), out(to) {
    const auto* at = std::find_if(std::begin(kTargets), std::end(kTargets),
                                  [&](const Target& target) { return target.format == format.name; });
    write = at == std::end(kTargets) ? write_floats : at->write;
    expert_rows = m.expert_rows > 0 ? m.expert_rows : m.rows;
    down = blocks(expert_rows, m.group_rows);
    across = static_cast<int64_t>(m.scales.size()) / (down * (m.rows / expert_rows));
  }

  absl::Status pack_panel(int64_t begin) const {
    Panel panel{.begin = begin, .n = std::min(kPanelRows, m.rows - begin)};
    RETURN_IF_ERROR(read_codes(m, panel));
    for (int64_t r = 0; r < panel.n; ++r) {
      const int64_t row = begin + r;
      const int64_t group_row = row / expert_rows * down + row % expert_rows / m.group_rows;
      write({m, panel.codes.data() + r * m.shape.cols, row, group_row * across}, out + row * row_bytes);
    }
    return absl::OkStatus();
  }

  const GroupedMatrix& m;
  const int64_t row_bytes;
  std::byte* const out;
  void (*write)(const CodeRow& row, std::byte* out) = nullptr;
  int64_t expert_rows = 0, down = 0, across = 0;  // rows of an expert, and its groups
};

}  // namespace

absl::Status pack(const GroupedMatrix& m, const QuantFormat& format, std::byte* out) {
  RETURN_IF_ERROR(check_params(m, format.name));
  const Packer packer(m, format, out);
  const int64_t panels = blocks(m.rows, kPanelRows);
  const bool shared = m.rows * m.shape.cols >= kSharedValuesMin;
  base::ThreadPool pool(shared ? static_cast<int>(std::min<int64_t>(base::available_cores(), panels)) : 1,
                        /*spin_us=*/0);
  std::mutex mutex;
  absl::Status status;
  pool.parallel_for(panels, [&](int64_t i) {
    absl::Status of_panel = packer.pack_panel(i * kPanelRows);
    const std::lock_guard lock(mutex);
    if (status.ok()) status = std::move(of_panel);
  });
  return status;
}

}  // namespace polymath::weights
