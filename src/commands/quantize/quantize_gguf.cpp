// Streams a GGUF file into another one, with its matrices in another format.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/threads.h"
#include "commands/flags/flag_values.h"
#include "commands/quantize/calibrate.h"
#include "commands/quantize/gguf_plan.h"
#include "commands/quantize/out_file.h"
#include "commands/quantize/quantize.h"
#include "quant/weighted.h"
#include "weights/checkpoint.h"
#include "weights/gguf_model.h"
#include "weights/gguf_writer.h"

namespace polymath::commands {
namespace {

using weights::GgmlType;
using weights::GgufTensor;

constexpr int64_t kValuesAtOnce = 4 << 20;  // packed between two writes
constexpr int64_t kValuesOfTask = 64 << 10;

// Rows of one tensor from one format to another, a bounded number at a time.
class Packer {
 public:
  Packer(const GgmlType& from, const GgmlType& to)
      : from_(*quant::find_format(from.format)),
        to_(*quant::find_format(to.format)),
        weighted_(quant::find_weighted_packer(to_)) {}

  // False: a value is NaN or infinite. `importance` of an input; empty: all count alike.
  bool pack(base::ThreadPool& pool, std::span<const std::byte> rows, int64_t cols, std::span<const float> importance,
            OutFile& out) const {
    const auto row_bytes = static_cast<size_t>(from_.bytes_of(cols));
    const auto n_rows = static_cast<int64_t>(rows.size() / row_bytes);
    const int64_t at_once = std::max<int64_t>(1, kValuesAtOnce / cols);
    const int64_t of_task = std::max<int64_t>(1, kValuesOfTask / cols);
    std::vector<std::byte> packed;
    for (int64_t first = 0; first < n_rows; first += at_once) {
      const int64_t n = std::min(at_once, n_rows - first);
      packed.resize(static_cast<size_t>(n * to_.bytes_of(cols)));
      std::atomic<bool> finite{true};
      pool.parallel_for((n + of_task - 1) / of_task, [&](int64_t task) {
        std::vector<float> values(static_cast<size_t>(cols));
        for (int64_t r = task * of_task; r < std::min(n, (task + 1) * of_task); ++r) {
          from_.dequantize({rows.data() + static_cast<size_t>(first + r) * row_bytes}, 0, values.data(), cols);
          if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
            finite = false;
          else
            pack_row(values, importance, packed.data() + r * to_.bytes_of(cols));
        }
      });
      if (!finite) return false;
      out.write(packed.data(), packed.size());
    }
    return true;
  }

 private:
  void pack_row(const std::vector<float>& values, std::span<const float> importance, std::byte* to) const {
    const auto n = static_cast<int64_t>(values.size());
    if (importance.empty() || weighted_ == nullptr)
      to_.quantize(values.data(), to, n);
    else
      weighted_(values.data(), importance.data(), to, n);
  }

  const quant::QuantFormat &from_, &to_;
  const quant::WeightedPacker weighted_;
};

struct Plan {
  std::vector<const GgmlType*> types;  // of the tensors, as in the header
  std::vector<uint64_t> places;        // from the data's begin
  std::string header;
  uint64_t bytes = 0;  // of the file
};

// Metadata as it was, but for what no longer holds. A split model becomes one file.
Plan plan_of(const weights::GgufModel& model, const PackTarget& target) {
  constexpr std::string_view kFileType = "general.file_type", kVersion = "general.quantization_version";
  constexpr uint32_t kQuantizationVersion = 2;  // source: ggml.h (GGML_QNT_VERSION)
  weights::GgufWriter writer(model.header.alignment);
  for (const weights::GgufPair& pair : model.header.pairs) {
    if (pair.key == kFileType || pair.key == kVersion || absl::StartsWith(pair.key, "split.")) continue;
    writer.add_pair(pair.key, pair.type, model.parts[0].bytes.subspan(pair.begin, pair.bytes));
  }
  writer.add_u32(kFileType, target.file_type);
  writer.add_u32(kVersion, kQuantizationVersion);
  Plan plan{packed_types(model.header, target), {}, {}, 0};
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const GgufTensor& t = model.header.tensors[i];
    plan.places.push_back(writer.add_tensor(t.name, *plan.types[i], t.shape));
  }
  plan.header = writer.header();
  plan.bytes = plan.header.size() + writer.data_bytes();
  return plan;
}

absl::Status check_readable(const weights::GgufModel& model, const Plan& plan) {
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const GgufTensor& t = model.header.tensors[i];
    if (plan.types[i] == t.type || quant::find_format(t.type->format) != nullptr) continue;
    return absl::UnimplementedError(absl::StrCat(model.parts[t.part].path, ": tensor ", t.name, ": ",
                                                 std::string(t.type->name), " cannot be read"));
  }
  return absl::OkStatus();
}

struct Job {
  const weights::GgufModel& model;
  const Plan& plan;
  const Importance& importance;
};

// Each matrix of a stack has inputs of its own.
bool pack_tensor(const Job& job, size_t i, base::ThreadPool& pool, OutFile& out) {
  const GgufTensor& t = job.model.header.tensors[i];
  const std::span<const std::byte> data = job.model.data(t);
  const int rank = t.shape.rank();
  const int64_t cols = t.shape[rank - 1], rows = rank < 2 ? 1 : t.shape[rank - 2];
  const Packer packer(*t.type, *job.plan.types[i]);
  const int64_t stack = t.shape.elements() / std::max<int64_t>(rows * cols, 1);
  const size_t bytes = stack == 0 ? 0 : data.size() / static_cast<size_t>(stack);
  for (int64_t index = 0; index < stack; ++index) {
    const auto matrix = data.subspan(static_cast<size_t>(index) * bytes, bytes);
    if (!packer.pack(pool, matrix, cols, job.importance.of(t.name, index, cols), out)) return false;
  }
  return true;
}

absl::Status write_tensors(const Job& job, int threads, OutFile& out) {
  const auto& [model, plan, importance] = job;
  base::ThreadPool pool(threads > 0 ? threads : base::available_cores());
  out.write(plan.header.data(), plan.header.size());
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const GgufTensor& t = model.header.tensors[i];
    const std::span<const std::byte> data = model.data(t);
    out.pad_to(plan.header.size() + plan.places[i]);
    if (plan.types[i] == t.type) {
      out.write(data.data(), data.size());
    } else if (!pack_tensor(job, i, pool, out)) {
      return absl::DataLossError(
          absl::StrCat(model.parts[t.part].path, ": tensor ", t.name, ": a value is NaN or infinite"));
    }
    weights::MappedFile::drop(data);
    if (!out.good()) break;  // finish() says so
  }
  out.pad_to(plan.bytes);
  return out.finish();
}

// q8_0: 240 tensors, 1.2 GiB
void print_types(const weights::GgufModel& model, const Plan& plan) {
  std::map<std::string_view, std::pair<int, double>> by_type;
  double before = 0;
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const GgufTensor& t = model.header.tensors[i];
    auto& [n, bytes] = by_type[plan.types[i]->name];
    ++n;
    bytes += static_cast<double>(t.shape.elements()) / plan.types[i]->block_values * plan.types[i]->block_bytes;
    before += static_cast<double>(t.bytes);
  }
  for (const auto& [name, sum] : by_type) {
    std::printf("%-8s %5d tensors  %s\n", std::string(name).c_str(), sum.first, bytes_text(sum.second).c_str());
  }
  std::printf("%s, before %s\n", bytes_text(static_cast<double>(plan.bytes)).c_str(), bytes_text(before).c_str());
}

}  // namespace

absl::Status quantize_gguf(const Options& options, const PackTarget& target) {
  const std::string& out_path = options.quantize.out;
  ASSIGN_OR_RETURN(const weights::GgufModel model, weights::open_gguf_model(options.model.name));
  const Plan plan = plan_of(model, target);
  RETURN_IF_ERROR(check_readable(model, plan));
  RETURN_IF_ERROR(check_room(out_path, plan.bytes));
  ASSIGN_OR_RETURN(const Importance importance, calibrated(options));
  OutFile out(out_path);
  RETURN_IF_ERROR(write_tensors({model, plan, importance}, options.runtime.threads, out));
  print_types(model, plan);
  return absl::OkStatus();
}

}  // namespace polymath::commands
