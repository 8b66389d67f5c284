#pragma once

// Weights of codes under scales, as every scheme stores them, and their way into a packed format.
//
// A value is what its code stands for times its group's scale. A scheme says where codes, scales and zero points are
// (GroupedMatrix). format_of() chooses the format by the shapes alone, and pack() writes it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "quant/format.h"

namespace polymath::weights {

// What a code stands for. `zero` is the group's zero point.
enum class Codes {
  kInt4,   // q - zero; 8 where the scheme has none
  kInt8,   // q - zero; 128 where the scheme has none
  kFp8,    // E4M3
  kMxfp4,  // E2M1, under scales that are powers of two
  kNvfp4,  // E2M1, under E4M3 scales and one scale of the whole tensor
  kNf4,    // bitsandbytes' table
  kTable,  // the matrix's own table
};

// What decides the format.
struct GroupShape {
  Codes codes = Codes::kInt4;
  int64_t cols = 0;
  int64_t group_cols = 0;    // neighbouring inputs that share a scale
  bool reordered = false;    // inputs of a group are not neighbours
  bool zeros = false;        // zero points are stored
  bool half_scales = false;  // scales have 16 bits
};

// n / size, rounded up.
constexpr int64_t blocks(int64_t n, int64_t size) { return n / size + (n % size != 0 ? 1 : 0); }

// Float32 where no packed format holds the groups: such a weight is unpacked as it is read.
const quant::QuantFormat& format_of(const GroupShape& shape);

// How codes lie in a stored tensor of [rows, cols] outputs by inputs.
enum class Packing {
  kBytes,      // a byte a value, row by row
  kNibbles,    // two values a byte, row by row, the first one low
  kHighFirst,  // likewise, the first one high
  kGptq,       // words of 32 bits, [cols / values a word, rows]; the first one low
  kAwq,        // words of 32 bits, [cols, rows / 8]; nibble i has output kAwqOrder[i]
  kEetq,       // bytes; 64 inputs of an output, then those of the next one, alternate. Of 16, byte i has input
               // i / 2, or i / 2 + 8 where i is odd
};
inline constexpr int64_t kEetqTile = 64;  // inputs of an output that follow each other
inline constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

struct CodeSource {
  const std::byte* data = nullptr;
  Packing packing = Packing::kBytes;
  int bits = 8;
  int64_t row_bytes = 0;  // of kBytes, kNibbles and kHighFirst: from one row to the next
  uint8_t flipped = 0;    // bits of each code that are stored inverted: 0x80 of signed bytes
};

// Values beside the codes, in compressed rows: row r has those from begins[r] to begins[r + 1].
struct SparseValues {
  std::vector<int32_t> begins, cols;
  std::vector<float> values;
};

struct GroupedMatrix {
  GroupShape shape;
  int64_t rows = 0;
  int64_t expert_rows = 0;  // groups of rows restart after so many; 0: rows
  int64_t group_rows = 1;   // neighbouring outputs that share a scale
  CodeSource codes;
  std::vector<float> scales;      // [groups down, groups across]
  std::vector<uint16_t> zeros;    // likewise; empty: the codes' own
  std::vector<int32_t> group_of;  // of each input, where reordered
  std::vector<float> table;       // of kTable: 16 values of each row
  SparseValues added;             // of kTable; empty: none
  float tensor_scale = 1;         // of kNvfp4
};

// Writes the rows in `format`, which is format_of(m.shape) or float32. kInvalidArgument: a scale or zero point that the
// format cannot hold. REQUIRES: sizes agree.
absl::Status pack(const GroupedMatrix& m, const quant::QuantFormat& format, std::byte* out);

}  // namespace polymath::weights
