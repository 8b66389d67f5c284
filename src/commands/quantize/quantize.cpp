#include "commands/quantize/quantize.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/threads.h"
#include "commands/flags/flag_values.h"
#include "commands/flags/flags.h"
#include "commands/quantize/gguf_plan.h"
#include "commands/verbs.h"
#include "weights/checkpoint.h"
#include "weights/gguf_model.h"
#include "weights/gguf_writer.h"

namespace polymath::commands {
namespace {

namespace fs = std::filesystem;
using weights::GgmlType;
using weights::GgufTensor;

constexpr int64_t kValuesAtOnce = 4 << 20;  // packed between two writes
constexpr int64_t kValuesOfTask = 64 << 10;

// The output under another name, until it is whole.
class OutFile {
 public:
  explicit OutFile(std::string path)
      : path_(std::move(path)),
        part_(absl::StrCat(path_, ".part")),
        stream_(part_, std::ios::binary | std::ios::trunc) {}
  ~OutFile() {
    std::error_code ignored;
    if (!done_) fs::remove(part_, ignored);
  }

  void write(const void* data, size_t bytes) {
    stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    written_ += bytes;
  }
  void pad_to(uint64_t place) {
    const std::vector<char> zeros(place - written_);
    write(zeros.data(), zeros.size());
  }
  absl::Status finish() {
    stream_.close();
    std::error_code failed;
    if (stream_) fs::rename(part_, path_, failed);
    if (!stream_ || failed) return absl::UnavailableError(absl::StrCat(path_, ": cannot be written"));
    done_ = true;
    return absl::OkStatus();
  }
  bool good() const { return stream_.good(); }

 private:
  const std::string path_, part_;
  std::ofstream stream_;
  uint64_t written_ = 0;
  bool done_ = false;
};

// Rows of one tensor from one format to another, a bounded number at a time.
class Packer {
 public:
  Packer(const GgmlType& from, const GgmlType& to)
      : from_(*quant::find_format(from.format)), to_(*quant::find_format(to.format)) {}

  // False: a value is NaN or infinite.
  bool pack(base::ThreadPool& pool, std::span<const std::byte> rows, int64_t cols, OutFile& out) const {
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
            to_.quantize(values.data(), packed.data() + r * to_.bytes_of(cols), cols);
        }
      });
      if (!finite) return false;
      out.write(packed.data(), packed.size());
    }
    return true;
  }

 private:
  const quant::QuantFormat &from_, &to_;
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

absl::Status check_room(const std::string& out, uint64_t bytes) {
  std::error_code failed;
  if (fs::exists(out, failed)) return absl::AlreadyExistsError(absl::StrCat(out, ": is there already"));
  const fs::path folder = fs::absolute(out).parent_path();
  const fs::space_info space = fs::space(folder, failed);
  if (failed) return absl::NotFoundError(absl::StrCat(folder.string(), ": cannot be written to: ", failed.message()));
  if (space.available >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(out, ": takes ", bytes_text(static_cast<double>(bytes)), ", and ",
                                                   bytes_text(static_cast<double>(space.available)), " are free"));
}

absl::Status write_tensors(const weights::GgufModel& model, const Plan& plan, int threads, OutFile& out) {
  base::ThreadPool pool(threads > 0 ? threads : base::available_cores());
  out.write(plan.header.data(), plan.header.size());
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const GgufTensor& t = model.header.tensors[i];
    const std::span<const std::byte> data = model.data(t);
    out.pad_to(plan.header.size() + plan.places[i]);
    if (plan.types[i] == t.type) {
      out.write(data.data(), data.size());
    } else if (!Packer(*t.type, *plan.types[i]).pack(pool, data, t.shape[t.shape.rank() - 1], out)) {
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

absl::Status quantize_gguf(const Options& options) {
  const QuantizeOptions& o = options.quantize;
  if (o.out.empty()) return absl::InvalidArgumentError("no output; name the file to write after the one to read");
  if (o.format.empty()) return absl::InvalidArgumentError("no --to: name the format of the matrices");
  ASSIGN_OR_RETURN(const PackTarget target, pack_target(o.format));
  if (!absl::EndsWith(options.model.name, ".gguf")) {
    return absl::UnimplementedError(absl::StrCat(
        options.model.name, ": only GGUF files are packed; tools/make_gguf.py converts a directory to one"));
  }
  ASSIGN_OR_RETURN(const weights::GgufModel model, weights::open_gguf_model(options.model.name));
  const Plan plan = plan_of(model, target);
  RETURN_IF_ERROR(check_readable(model, plan));
  RETURN_IF_ERROR(check_room(o.out, plan.bytes));
  OutFile out(o.out);
  RETURN_IF_ERROR(write_tensors(model, plan, options.runtime.threads, out));
  print_types(model, plan);
  return absl::OkStatus();
}

int quantize(const Arguments& arguments) {
  const auto options = parse_flags(kQuantize, arguments);
  if (!options.ok()) return fail_flags(options.status());
  const absl::Status status = quantize_gguf(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace polymath::commands
