// Streams a Hugging Face directory into another one, in a scheme of packed matrices.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"
#include "base/write_file.h"
#include "commands/flags/flag_values.h"
#include "commands/quantize/calibrate.h"
#include "commands/quantize/directory_plan.h"
#include "commands/quantize/linear_tensors.h"
#include "commands/quantize/out_file.h"
#include "commands/quantize/quantize.h"
#include "weights/directory.h"
#include "weights/mapped_file.h"
#include "weights/safetensors.h"
#include "weights/schemes/scheme.h"

namespace polymath::commands {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kValuesAtOnce = 16 << 20;  // packed between two writes
constexpr const char* kConfig = "config.json";
constexpr const char* kTemplates = "additional_chat_templates";
constexpr std::string_view kWeightEndings[] = {
    ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf"};

class DirectoryPacker {
 public:
  DirectoryPacker(const SchemeWriter& writer, const DirectoryPlan& plan, const Importance& importance, int threads)
      : writer_(writer), plan_(plan), importance_(importance), pool_(threads > 0 ? threads : base::available_cores()) {}

  absl::Status write(const PlannedFile& file, const std::string& path) {
    OutFile out(path);
    out.write(file.header.data(), file.header.size());
    for (const PlannedTensor& t : file.tensors) {
      if (!t.packed) {
        out.write_at(t.places[0], t.stored->bytes.data(), t.stored->bytes.size());
      } else if (!pack(t, out)) {
        return absl::DataLossError(
            absl::StrCat(t.stored->info.file, ": tensor ", t.stored->info.name, ": a value is NaN or infinite"));
      }
      weights::MappedFile::drop(t.stored->bytes);
      if (!out.good()) break;  // finish() says so
    }
    return out.finish();
  }

 private:
  // Rows of one matrix that are packed between two writes.
  struct Run {
    const PlannedTensor& tensor;
    std::span<const float> importance;
    int64_t first_row = 0, rows = 0;  // of the whole stack
    std::byte *codes = nullptr, *scales = nullptr;
  };

  bool pack(const PlannedTensor& t, OutFile& out) {
    const PlainMatrix& m = t.matrix;
    const int64_t at_once = std::max<int64_t>(1, kValuesAtOnce / (m.cols() * writer_.band_rows)) * writer_.band_rows;
    std::vector<std::byte> codes, scales(t.parts[1].bytes);
    std::byte* next_scale = scales.data();
    uint64_t place = t.places[0];
    for (int64_t index = 0; index < m.stack(); ++index) {
      for (int64_t row = 0; row < m.rows(); row += at_once) {
        const int64_t n = std::min(at_once, m.rows() - row);
        codes.resize(static_cast<size_t>(code_bytes(t, n)));
        const Run run{t, importance_.of(m.name, index, m.cols()), index * m.rows() + row, n, codes.data(), next_scale};
        if (!pack(run)) return false;
        next_scale += scale_bytes(t, n);
        out.write_at(place, codes.data(), codes.size());
        place += codes.size();
      }
    }
    out.write_at(t.places[1], scales.data(), scales.size());
    if (t.parts.size() > 2) {
      const int64_t dims[2] = {m.rows(), m.cols()};
      out.write_at(t.places[2], dims, sizeof(dims));
    }
    return true;
  }

  // False: a value is NaN or infinite.
  bool pack(const Run& run) {
    const int64_t cols = run.tensor.matrix.cols(), band = writer_.band_rows;
    const quant::QuantFormat& format = *run.tensor.stored->info.format;
    std::atomic<bool> finite{true};
    pool_.parallel_for((run.rows + band - 1) / band, [&](int64_t task) {
      const int64_t first = task * band, n = std::min(band, run.rows - first);
      std::vector<float> values(static_cast<size_t>(n * cols));
      const std::byte* rows = run.tensor.stored->bytes.data() + format.bytes_of((run.first_row + first) * cols);
      format.dequantize({rows}, 0, values.data(), n * cols);
      if (std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
        writer_.pack({values, run.importance, cols}, plan_.options, run.codes + code_bytes(run.tensor, first),
                     run.scales + scale_bytes(run.tensor, first));
      } else {
        finite = false;
      }
    });
    return finite;
  }

  // Of so many rows, from the first of a matrix.
  static int64_t code_bytes(const PlannedTensor& t, int64_t rows) {
    return rows * static_cast<int64_t>(t.parts[0].bytes) / (t.matrix.stack() * t.matrix.rows());
  }
  int64_t scale_bytes(const PlannedTensor& t, int64_t rows) const {
    const auto blocks = [&](int64_t n) { return (n + writer_.scale_rows - 1) / writer_.scale_rows; };
    return blocks(rows) * static_cast<int64_t>(t.parts[1].bytes) / (t.matrix.stack() * blocks(t.matrix.rows()));
  }

  const SchemeWriter& writer_;
  const DirectoryPlan& plan_;
  const Importance& importance_;
  base::ThreadPool pool_;
};

// config.json as it is. kInvalidArgument: the model is packed already. kNotFound: none; Mistral's own files have none.
absl::StatusOr<base::JsonObject> plain_config(const std::string& in, const weights::ModelFiles& files) {
  ASSIGN_OR_RETURN(const base::JsonValue known, files.config());
  if (known.is_object() && weights::find_quantization(known.get_object()) != nullptr)
    return absl::InvalidArgumentError(absl::StrCat(in, ": is quantised already (quantization_config)"));
  const std::string path = in + "/" + kConfig;
  ASSIGN_OR_RETURN(base::JsonValue config,
                   base::read_json_file(path, {.bytes_max = 16u << 20, .non_finite_numbers = true}));
  if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": must be an object"));
  return std::move(config.get_object());
}

bool is_weights(const std::string& name) {
  return std::any_of(std::begin(kWeightEndings), std::end(kWeightEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

// Tokenizer, template and what else lies beside the weights.
absl::Status copy_rest(const std::string& in, const OutDirectory& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, weights::list_files(in));
  std::error_code failed;
  for (const std::string& name : names) {
    if (name == kConfig || is_weights(name)) continue;
    if (!fs::copy_file(fs::path(in) / name, out.at(name), failed) || failed)
      return absl::UnavailableError(absl::StrCat(out.at(name), ": cannot be written"));
  }
  const fs::path templates = fs::path(in) / kTemplates;
  if (!fs::is_directory(templates, failed)) return absl::OkStatus();
  fs::copy(templates, out.at(kTemplates), failed);
  return failed ? absl::UnavailableError(absl::StrCat(out.at(kTemplates), ": cannot be written")) : absl::OkStatus();
}

// From and to directories.
struct Places {
  const std::string &in, &to;
};

absl::Status write_directory(const Places& places, const base::JsonObject& config, const DirectoryPlan& plan,
                             DirectoryPacker& packer) {
  OutDirectory out(places.to);
  for (const PlannedFile& file : plan.files) {
    RETURN_IF_ERROR(packer.write(file, out.at(file.name)));
    if (plan.files.size() > 1) base::log_info("quantize", file.name, ": ", bytes_text(static_cast<double>(file.bytes)));
  }
  if (plan.files.size() > 1)
    RETURN_IF_ERROR(base::write_file(out.at("model.safetensors.index.json"), base::to_text(plan.index()) + "\n"));
  RETURN_IF_ERROR(base::write_file(out.at(kConfig), base::to_text(config) + "\n"));
  RETURN_IF_ERROR(copy_rest(places.in, out));
  return out.finish();
}

// fp8: 192 matrices, 240 tensors as they were; 1.2 GiB, before 2.2 GiB
void print_plan(const SchemeWriter& writer, const weights::FileCheckpoint& stored, const DirectoryPlan& plan) {
  uint64_t before = 0;
  size_t packed = 0;
  for (const auto& t : stored.stored()) before += t.bytes.size();
  for (const PlannedFile& file : plan.files)
    packed += static_cast<size_t>(
        std::count_if(file.tensors.begin(), file.tensors.end(), [](const PlannedTensor& t) { return t.packed; }));
  std::printf("%s: %zu matrices, %zu tensors as they were; %s, before %s\n", std::string(writer.name).c_str(), packed,
              stored.stored().size() - packed, bytes_text(static_cast<double>(plan.bytes)).c_str(),
              bytes_text(static_cast<double>(before)).c_str());
}

}  // namespace

absl::Status quantize_directory(const Options& options, const SchemeWriter& writer) {
  const std::string& in = options.model.name;
  std::string to = options.quantize.out;
  while (to.size() > 1 && to.ends_with('/')) to.pop_back();
  const auto files = weights::open_directory(in);
  ASSIGN_OR_RETURN(base::JsonObject config, plain_config(in, *files));
  ASSIGN_OR_RETURN(const auto stored, weights::open_stored(in, {}));
  ASSIGN_OR_RETURN(const std::vector<PlainMatrix> matrices, linear_tensors(*files, *stored));
  ASSIGN_OR_RETURN(const DirectoryPlan plan, plan_directory(*stored, matrices, writer));
  RETURN_IF_ERROR(check_room(to, plan.bytes));
  ASSIGN_OR_RETURN(const Importance importance, calibrated(options));
  DirectoryPacker packer(writer, plan, importance, options.runtime.threads);
  config["quantization_config"] = writer.config(plan.options, plan.left_out);
  RETURN_IF_ERROR(write_directory({in, to}, config, plan, packer));
  print_plan(writer, *stored, plan);
  return absl::OkStatus();
}

}  // namespace polymath::commands
