// SqueezeLLM: 4-bit codes into a table of each output's own, and a few values apart.
//
//   X.qweight       I32 [cols / 8, rows], as GPTQ's
//   X.lookup_table  F16 or F32 [rows, 16]
//   X.rows, X.cols, X.vals   sparse values, added: I32 [rows + 1], I32 [n], F32 [n]
//   X.full_row_indices, X.full_rows   whole outputs, added: I32 [n], F32 [cols, n]
//
// Sources: SqueezeLLM's squeezellm/quant.py and quant_cuda_kernel.cu.

#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

constexpr int kInWord = 8, kEntries = 16;

// What is added to a module's table values; null: it has none.
struct SparseParts {
  const Stored *rows = nullptr, *cols = nullptr, *values = nullptr;
  const Stored *full_rows = nullptr, *full_indices = nullptr;
};

absl::StatusOr<SparseParts> sparse_parts(const ModuleTensors& module, const Stored& codes) {
  SparseParts p{.values = module.find("vals"), .full_rows = module.find("full_rows")};
  const int64_t rows = codes.info.shape[1], cols = codes.info.shape[0] * kInWord;
  if (p.full_rows != nullptr) {
    ASSIGN_OR_RETURN(p.full_indices, module.need("full_row_indices", codes));
    if (p.full_indices->info.shape.rank() != 1) return bad_tensor(*p.full_indices, "is no vector");
    RETURN_IF_ERROR(check_stored(*p.full_indices, "I32", p.full_indices->info.shape));
    RETURN_IF_ERROR(check_stored(*p.full_rows, "F32", {cols, p.full_indices->info.shape[0]}));
  }
  if (p.values == nullptr) return p;
  ASSIGN_OR_RETURN(p.rows, module.need("rows", codes));
  ASSIGN_OR_RETURN(p.cols, module.need("cols", codes));
  RETURN_IF_ERROR(check_stored(*p.rows, "I32", {rows + 1}));
  if (p.values->info.shape.rank() != 1) return bad_tensor(*p.values, "is no vector");
  RETURN_IF_ERROR(check_stored(*p.values, "F32", p.values->info.shape));
  RETURN_IF_ERROR(check_stored(*p.cols, "I32", p.values->info.shape));
  return p;
}

std::vector<int32_t> integers(const Stored& stored) {
  std::vector<int32_t> out(stored.bytes.size() / sizeof(int32_t));
  std::memcpy(out.data(), stored.bytes.data(), out.size() * sizeof(int32_t));
  return out;
}

absl::StatusOr<SparseValues> read_sparse(const SparseParts& p, int64_t cols) {
  SparseValues out{.begins = integers(*p.rows), .cols = integers(*p.cols)};
  ASSIGN_OR_RETURN(out.values, read_numbers(*p.values));
  const bool ordered = std::is_sorted(out.begins.begin(), out.begins.end()) && out.begins.front() == 0;
  if (!ordered || out.begins.back() != p.values->info.shape.elements()) {
    return bad_tensor(*p.rows, "does not divide the sparse values into rows");
  }
  for (const int32_t c : out.cols) {
    if (c < 0 || c >= cols) return bad_tensor(*p.cols, absl::StrCat("has ", c, "; there are ", cols, " inputs"));
  }
  return out;
}

// `sparse` with the whole outputs: they have a value for each input then.
absl::StatusOr<SparseValues> add_full_rows(const SparseParts& p, const SparseValues& sparse, int64_t rows,
                                           int64_t cols) {
  const std::vector<int32_t> outputs = integers(*p.full_indices);
  ASSIGN_OR_RETURN(const std::vector<float> values, read_numbers(*p.full_rows));
  std::map<int64_t, std::vector<float>> full;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int64_t r = outputs[i];
    if (r < 0 || r >= rows) return bad_tensor(*p.full_indices, absl::StrCat("has ", r, "; there are ", rows, " rows"));
    std::vector<float>& row = full[r];
    row.resize(static_cast<size_t>(cols));
    for (size_t c = 0; c < row.size(); ++c) row[c] += values[c * outputs.size() + i];
  }
  if (static_cast<int64_t>(full.size()) * cols + static_cast<int64_t>(sparse.values.size()) > INT32_MAX)
    return bad_tensor(*p.full_rows, "is too large");
  SparseValues out{.begins = {0}};
  for (int64_t r = 0; r < rows; ++r) {
    const auto at = static_cast<size_t>(r);
    const auto whole = full.find(r);
    for (int32_t i = sparse.begins[at]; i < sparse.begins[at + 1]; ++i) {
      const auto c = sparse.cols[static_cast<size_t>(i)];
      const float value = sparse.values[static_cast<size_t>(i)];
      if (whole != full.end()) {
        whole->second[static_cast<size_t>(c)] += value;
      } else {
        out.cols.push_back(c), out.values.push_back(value);
      }
    }
    if (whole != full.end()) {
      for (int32_t c = 0; c < cols; ++c) out.cols.push_back(c);
      out.values.insert(out.values.end(), whole->second.begin(), whole->second.end());
    }
    out.begins.push_back(static_cast<int32_t>(out.values.size()));
  }
  return out;
}

absl::StatusOr<GroupedMatrix> load(const Stored& codes, const Stored& table, const SparseParts& sparse,
                                   const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = codes.info.shape[1]};
  m.codes = {.data = codes.bytes.data(), .packing = Packing::kGptq, .bits = 4};
  ASSIGN_OR_RETURN(m.table, read_numbers(table));
  m.scales.assign(static_cast<size_t>(m.rows), 1.0f);
  if (sparse.values != nullptr) {
    ASSIGN_OR_RETURN(m.added, read_sparse(sparse, shape.cols));
  }
  if (sparse.full_rows != nullptr) {
    if (m.added.begins.empty()) m.added.begins.assign(static_cast<size_t>(m.rows) + 1, 0);
    ASSIGN_OR_RETURN(m.added, add_full_rows(sparse, m.added, m.rows, shape.cols));
  }
  return m;
}

absl::Status find(const FileCheckpoint& files, std::vector<PackedWeight>& out) {
  for (const Stored& codes : files.stored()) {
    std::string_view module = codes.info.name;
    if (!cut_ending(module, "qweight")) continue;
    const ModuleTensors tensors{files, std::string(module)};
    const tensor::Shape& shape = codes.info.shape;
    if (shape.rank() != 2 || shape.elements() == 0) return bad_tensor(codes, "is no matrix");
    RETURN_IF_ERROR(check_stored(codes, "I32", shape));
    ASSIGN_OR_RETURN(const Stored* table, tensors.need("lookup_table", codes));
    RETURN_IF_ERROR(check_stored(*table, "", {shape[1], kEntries}));
    ASSIGN_OR_RETURN(const SparseParts sparse, sparse_parts(tensors, codes));
    const int64_t cols = shape[0] * kInWord;
    PackedWeight packed{.name = tensors.module + "weight",
                        .what = "squeezellm 4 bits",
                        .shape = {shape[1], cols},
                        .groups = {.codes = Codes::kTable, .cols = cols, .group_cols = cols},
                        .main = &codes,
                        .beside = tensors.present(
                            {"lookup_table", "rows", "cols", "vals", "startrows", "full_rows", "full_row_indices"})};
    packed.load = [&codes, table, sparse, groups = packed.groups] { return load(codes, *table, sparse, groups); };
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

}  // namespace

FindWeights parse_squeezellm(base::JsonReader& j) {
  if (j.i("wbits", j.i("bits", 4)) != 4) j.complain("wbits", "only 4 bits are read");
  return find;
}

}  // namespace polymath::weights
