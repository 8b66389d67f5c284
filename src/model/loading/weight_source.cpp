#include "model/loading/weight_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace polymath::model {
namespace {

using tensor::Shape;

// A piece of one group of a slot.
struct GroupPiece {
  size_t index = 0;       // into Slot::pieces
  int64_t row_begin = 0;  // its first row in the slot's matrix
  int64_t group = 0;
};

// Where a piece lies within its tensor.
struct Place {
  size_t name = 0;  // index into WeightRow::names
  Shape expected;
  int64_t offset = 0, row_stride = 0, col_stride = 1;
};

Place place_stacked(const Slot& slot, const WeightRow& row, const GroupPiece& piece) {
  const auto& s = slot.shape;
  const bool joined = row.names.size() == 1;
  const int64_t rows = joined ? s.rows : slot.pieces[piece.index].rows, first = joined ? piece.row_begin : 0;
  const Shape shape = slot.is_vector() ? Shape{s.groups, rows} : Shape{s.groups, rows, s.cols};
  return {joined ? 0 : piece.index, shape, (piece.group * rows + first) * s.cols, s.cols, 1};
}

Place place_transposed(const Slot& slot, const GroupPiece& piece, bool pairs) {
  const auto& s = slot.shape;
  const int64_t first = pairs ? (piece.row_begin > 0 ? 1 : 0) : piece.row_begin;
  return {0, Shape{s.groups, s.cols, s.rows}, piece.group * s.rows * s.cols + first, pairs ? 2 : 1, s.rows};
}

Place place_rows(const Slot& slot, const WeightRow& row, const GroupPiece& piece) {
  const auto& s = slot.shape;
  const bool joined = row.names.size() == 1;
  const int64_t rows = joined ? s.rows : slot.pieces[piece.index].rows;
  const Shape shape = slot.is_vector() ? Shape{rows} : Shape{rows, s.cols};
  return {joined ? 0 : piece.index, shape, joined ? piece.row_begin * s.cols : 0, s.cols, 1};
}

Place place_pairs(const Slot& slot, const GroupPiece& piece) {
  const auto& s = slot.shape;
  const Shape shape = slot.is_vector() ? Shape{s.groups, s.rows} : Shape{s.groups, s.rows, s.cols};
  return {0, shape, (piece.group * s.rows + (piece.row_begin > 0 ? 1 : 0)) * s.cols, 2 * s.cols, 1};
}

// A tensor has rows of all groups, one group after the other.
Place place_flat(const Slot& slot, const WeightRow& row, const GroupPiece& piece) {
  const auto& s = slot.shape;
  const int64_t first = slot.stored.first_row;
  const int64_t own = row.layout == Layout::kFlatT ? s.cols : slot.pieces[piece.index].rows;
  const int64_t rows = slot.stored.group_rows > 0 ? slot.stored.group_rows : own;
  if (row.layout == Layout::kFlatT) {
    return {0, Shape{s.groups * rows, s.rows}, (piece.group * rows + first) * s.rows, 1, s.rows};
  }
  return {piece.index, Shape{s.groups * rows, s.cols}, (piece.group * rows + first) * s.cols, s.cols, 1};
}

Place place(const Slot& slot, const WeightRow& row, const GroupPiece& piece) {
  const auto& s = slot.shape;
  switch (row.layout) {
    case Layout::kRows:
      return place_rows(slot, row, piece);
    case Layout::kStacked:
      return place_stacked(slot, row, piece);
    case Layout::kStackedT:
      return place_transposed(slot, piece, false);
    case Layout::kStackedTPairs:
      return place_transposed(slot, piece, true);
    case Layout::kStackedPairs:
      return place_pairs(slot, piece);
    case Layout::kFlat:
    case Layout::kFlatT:
      return place_flat(slot, row, piece);
    case Layout::kOneRow:
      return {0, Shape{1, s.rows}, 0, 1, 1};
    case Layout::kDepthwise:
      return {0, Shape{s.rows / slot.stored.taps, 1, slot.stored.taps}, 0, 1, 1};
    case Layout::kCount:
      break;
  }
  CHECK(false && "no such layout");
  return {};
}

std::string tensor_name(const Slot& slot, const std::string& pattern, int64_t group) {
  return absl::StrReplaceAll(pattern, {{"{l}", absl::StrCat(slot.layer)}, {"{e}", absl::StrCat(group)}});
}

// The halves of each head in `source`, whose rows a file has as pairs.
void add_halves(const PieceSource& source, int64_t head_rows, std::vector<PieceSource>& out) {
  const int64_t half = head_rows / 2;
  CHECK(source.view.rows % head_rows == 0 && head_rows % 2 == 0);
  for (int64_t row = 0; row < source.view.rows; row += half) {
    const int64_t head = row / head_rows * head_rows, second = row > head ? 1 : 0;
    PieceSource part = source;
    part.row_begin += row;
    part.offset += (head + second) * source.view.row_stride;
    part.view.rows = half;
    part.view.row_stride *= 2;
    out.push_back(std::move(part));
  }
}

}  // namespace

std::vector<PieceSource> piece_sources(const Slot& slot, const WeightRow& row, parallel::Rank rank) {
  const layers::LocalSlot local = layers::local_slot(slot, rank);
  std::vector<PieceSource> out;
  for (int64_t g = 0; g < local.groups.count; ++g) {
    const int64_t group = (local.groups.begin + g) % slot.shape.groups;
    int64_t row_begin = 0, local_begin = 0;
    for (size_t p = 0; p < slot.pieces.size(); ++p) {
      const Place at = place(slot, row, {p, row_begin, group});
      const parallel::Slice mine = local.pieces[p];
      PieceSource source;
      source.tensor = tensor_name(slot, row.names.at(at.name), group);
      source.expected = at.expected;
      source.group = g;
      source.row_begin = local_begin;
      source.offset = at.offset + mine.begin * at.row_stride + local.cols.begin * at.col_stride;
      source.added = row.offset;
      source.view.rows = mine.count;
      source.view.cols = local.cols.count;
      source.view.row_stride = at.row_stride;
      source.view.col_stride = at.col_stride;
      if (row.paired_heads && slot.pieces[p].head_rows > 0) {
        add_halves(source, slot.pieces[p].head_rows, out);
      } else {
        out.push_back(std::move(source));
      }
      row_begin += slot.pieces[p].rows;
      local_begin += mine.count;
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
  return out;
}

std::vector<NamedShape> first_tensors(const Slot& slot, const WeightRow& row) {
  std::vector<NamedShape> out;
  int64_t row_begin = 0;
  for (size_t p = 0; p < slot.pieces.size(); ++p) {
    const Place at = place(slot, row, {p, row_begin, 0});
    out.push_back({tensor_name(slot, row.names.at(at.name), 0), at.expected});
    row_begin += slot.pieces[p].rows;
  }
  return out;
}

}  // namespace polymath::model
