#include "backend/cuda/fill.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/cuda/generate.h"
#include "base/process/fatal.h"

namespace polymath::backend::cuda {
namespace {

std::byte* row_place(const Weight& w, int64_t group, int64_t row) {
  const WeightMatrix m = weight_matrix(w);
  return static_cast<std::byte*>(w.data.data()) + (group * m.rows + row) * m.stride * type_bytes(m.type);
}

// One group of a packed weight.
WeightMatrix group_of(const Weight& w, int64_t group) {
  WeightMatrix m = weight_matrix(w);
  const CellGrid grid = m.grid();
  m.data = static_cast<const std::byte*>(m.data) + group * grid.slabs * grid.cells * cell_bytes(m.cell);
  m.groups = 1;
  return m;
}

// Ends the process where a cell cannot hold a scale: the kernels would compute another value.
void refuse_large_scales(const PackedFormat& format, const std::byte* blocks, size_t bytes, int block_bytes) {
  if (format.scale_fits == nullptr) return;
  for (size_t i = 0; i < bytes; i += static_cast<size_t>(block_bytes)) {
    if (format.scale_fits(reinterpret_cast<const uint8_t*>(blocks + i))) continue;
    base::fatal("backend", absl::StrCat("a weight in ", std::string(format.name),
                                        " has a scale that cuda does not keep packed; use --device cpu"));
  }
}

// Row r of `view` in the weight's type, padded with zeros to `bytes`.
void put_row(const quant::MatrixView& view, int64_t r, const quant::QuantFormat& format, std::byte* to, size_t bytes) {
  const auto used = static_cast<size_t>(view.cols) * static_cast<size_t>(format.block_bytes);
  if (view.format == &format && view.col_stride == 1) {
    std::memcpy(to, view.data + r * view.row_stride * format.block_bytes, used);
  } else {
    std::vector<float> row(static_cast<size_t>(view.cols));
    view.read_row(r, 0, view.cols, row.data());
    format.quantize(row.data(), to, view.cols);
  }
  std::memset(to + used, 0, bytes - used);
}

}  // namespace

void Filler::fill(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) {
  CHECK(view.cols == w.shape.cols && group >= 0 && group < w.shape.groups && row_begin >= 0 &&
        row_begin + view.rows <= w.shape.rows);
  if (!w.format->plain()) return fill_packed(w, group, row_begin, view);
  const WeightMatrix m = weight_matrix(w);
  const auto row_bytes = static_cast<size_t>(m.stride * type_bytes(m.type));
  CHECK(row_bytes <= Device::kPieceBytes);
  const auto rows_of_piece = static_cast<int64_t>(Device::kPieceBytes / row_bytes);
  for (int64_t done = 0; done < view.rows;) {
    const int64_t rows = std::min(rows_of_piece, view.rows - done);
    const size_t bytes = static_cast<size_t>(rows) * row_bytes;
    std::byte* piece = device_.piece(bytes);
    const int64_t share = (rows + pool_.size() - 1) / pool_.size();
    pool_.parallel_for(pool_.size(), [&](int64_t i) {
      for (int64_t r = i * share; r < std::min(rows, (i + 1) * share); ++r) {
        put_row(view, done + r, *w.format, piece + static_cast<size_t>(r) * row_bytes, row_bytes);
      }
    });
    device_.send_piece(row_place(w, group, row_begin + done), bytes);
    done += rows;
  }
}

void Filler::fill_packed(Weight& w, int64_t group, int64_t row_begin, const quant::MatrixView& view) {
  CHECK(view.format == w.format && view.col_stride == 1 && !view.format->params());
  const PackedFormat& format = *find_packed_format(w.format->name);
  const auto row_bytes = static_cast<size_t>(view.format->bytes_of(view.cols));
  CHECK(row_bytes <= Device::kPieceBytes);
  const auto rows_of_piece = static_cast<int64_t>(Device::kPieceBytes / row_bytes);
  for (int64_t done = 0; done < view.rows;) {
    const int64_t rows = std::min(rows_of_piece, view.rows - done);
    const size_t bytes = static_cast<size_t>(rows) * row_bytes;
    std::byte* piece = device_.piece(bytes);
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(piece + static_cast<size_t>(r) * row_bytes, view.row(done + r).data, row_bytes);
    }
    refuse_large_scales(format, piece, bytes, view.format->block_bytes);
    device_.send_piece(rows_.data(), bytes);
    format.repack({.raw = rows_.data(),
                   .rows = rows,
                   .row_bytes = static_cast<int64_t>(row_bytes),
                   .row_begin = row_begin + done,
                   .w = group_of(w, group)},
                  device_.stream());
    device_.launched("repack");
    done += rows;
  }
}

bool Filler::generate(Weight& w, int64_t group, int64_t row_begin, const quant::GeneratedMatrix& matrix) {
  const quant::Generator& g = matrix.generator;
  CHECK(matrix.cols == w.shape.cols && group < w.shape.groups && row_begin + matrix.rows <= w.shape.rows);
  if (!w.format->plain()) {
    generate_cells({.w = group_of(w, group),
                    .row_begin = row_begin,
                    .rows = matrix.rows,
                    .key = g.key + static_cast<uint64_t>(matrix.offset),
                    .deviation = g.scale},
                   device_.stream());
    device_.launched("generate_weight");
    return true;
  }
  if (table_quantiles_ != g.quantiles || table_format_ != g.stored || table_scale_ != g.scale) {
    std::vector<float> values(g.quantiles, g.quantiles + quant::kQuantiles);
    for (float& v : values) v *= g.scale;
    std::vector<std::byte> stored(values.size() * static_cast<size_t>(g.stored->block_bytes));
    const auto n = static_cast<int64_t>(values.size());
    g.stored->quantize(values.data(), stored.data(), n);
    g.stored->dequantize({stored.data()}, 0, values.data(), n);
    device_.copy_in(table_.data(), values.data(), values.size() * sizeof(float));
    table_quantiles_ = g.quantiles, table_format_ = g.stored, table_scale_ = g.scale;
  }
  const WeightMatrix m = weight_matrix(w);
  cuda::generate({.key = g.key,
                  .quantiles = static_cast<const float*>(table_.data()),
                  .offset = matrix.offset,
                  .rows = matrix.rows,
                  .cols = matrix.cols,
                  .row_stride = matrix.row_stride,
                  .col_stride = matrix.col_stride,
                  .to = row_place(w, group, row_begin),
                  .stride = m.stride,
                  .type = m.type},
                 device_.stream());
  device_.launched("generate_weight");
  return true;
}

}  // namespace polymath::backend::cuda
