// SqueezeLLM: 4-bit codes into a table of each output's own, and a few values apart.
//
//   X.qweight       I32 [cols / 8, rows], as GPTQ's
//   X.lookup_table  F16 or F32 [rows, 16]
//   X.rows, X.cols, X.vals   sparse values, added: I32 [rows + 1], I32 [n], F32 [n]
//
// Source: SqueezeLLM's squeezellm/quant.py.

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

constexpr int kInWord = 8, kEntries = 16;

// The sparse values of a module; null: it has none.
struct SparseParts {
  const Stored *rows = nullptr, *cols = nullptr, *values = nullptr;
};

absl::StatusOr<SparseParts> sparse_parts(const ModuleTensors& module, const Stored& codes) {
  SparseParts p{.values = module.find("vals")};
  if (module.find("full_rows") != nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(codes.info.file, ": ", module.module, "full_rows: whole rows beside the tables are not read"));
  }
  if (p.values == nullptr) return p;
  ASSIGN_OR_RETURN(p.rows, module.need("rows", codes));
  ASSIGN_OR_RETURN(p.cols, module.need("cols", codes));
  RETURN_IF_ERROR(check_stored(*p.rows, "I32", {codes.info.shape[1] + 1}));
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

absl::StatusOr<GroupedMatrix> load(const Stored& codes, const Stored& table, const SparseParts& sparse,
                                   const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = codes.info.shape[1]};
  m.codes = {.data = codes.bytes.data(), .packing = Packing::kGptq, .bits = 4};
  ASSIGN_OR_RETURN(m.table, read_numbers(table));
  m.scales.assign(static_cast<size_t>(m.rows), 1.0f);
  if (sparse.values != nullptr) {
    ASSIGN_OR_RETURN(m.added, read_sparse(sparse, shape.cols));
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
                        .beside = tensors.present({"lookup_table", "rows", "cols", "vals", "startrows"})};
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
