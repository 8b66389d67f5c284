#include "commands/quantize/calibrate.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/read_file.h"
#include "commands/model_text.h"
#include "commands/one_sequence.h"
#include "commands/quantize/observed_backend.h"
#include "commands/runtime.h"
#include "model/loading/load.h"

namespace polymath::commands {
namespace {

constexpr size_t kTextBytesMax = 64 << 20;  // a larger file is refused
constexpr size_t kTokensMax = 128 << 10;    // more of the text are not read
constexpr int kStepTokens = 64, kBlock = 16;

// A checkpoint that knows which tensor an address belongs to.
class TracedCheckpoint final : public weights::Checkpoint {
 public:
  explicit TracedCheckpoint(std::unique_ptr<weights::Checkpoint> inner) : inner_(std::move(inner)) {}

  std::span<const weights::TensorInfo> tensors() const override { return inner_->tensors(); }
  bool has(std::string_view name) const override { return inner_->has(name); }
  weights::Naming naming() const override { return inner_->naming(); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    ASSIGN_OR_RETURN(const weights::RawTensor raw, inner_->read(name, expected));
    last_ = {std::string(name), raw};
    return raw;
  }
  void prefetch(std::string_view name) override { inner_->prefetch(name); }
  void release(std::string_view name) override { inner_->release(name); }

  // Matrices of a tensor, one behind the other.
  struct Place {
    std::string tensor;
    int64_t index = 0, stack = 1, cols = 0;
  };
  // Of an address in the tensor that was read last. An empty name: it is in none.
  Place place_of(const std::byte* data) const {
    const auto& [name, raw] = last_;
    const int rank = raw.shape.rank();
    if (raw.format == nullptr || rank < 2 || data < raw.data) return {};
    const int64_t rows = raw.shape[rank - 2], cols = raw.shape[rank - 1], stack = raw.shape.elements() / (rows * cols);
    const int64_t index = (data - raw.data) / raw.format->bytes_of(rows * cols);
    return index < stack ? Place{name, index, stack, cols} : Place{};
  }

 private:
  const std::unique_ptr<weights::Checkpoint> inner_;
  std::pair<std::string, weights::RawTensor> last_;
};

using Places = std::vector<std::pair<MatrixKey, TracedCheckpoint::Place>>;

Importance importance_of(const Places& places, const std::map<MatrixKey, InputSquares>& squares) {
  std::map<std::string, std::vector<float>> by_tensor;
  for (const auto& [key, place] : places) {
    const auto seen = squares.find(key);
    if (seen == squares.end() || static_cast<int64_t>(seen->second.sums.size()) != place.cols) continue;
    std::vector<float>& all = by_tensor[place.tensor];
    all.resize(static_cast<size_t>(place.stack * place.cols));
    std::transform(seen->second.sums.begin(), seen->second.sums.end(), all.begin() + place.index * place.cols,
                   [&](double sum) { return static_cast<float>(sum / static_cast<double>(seen->second.rows)); });
  }
  Importance out;
  for (auto& [name, values] : by_tensor) out.set(name, std::move(values));
  return out;
}

}  // namespace

absl::StatusOr<Importance> calibrate(const weights::ModelFiles& files, const RuntimeOptions& runtime,
                                     const CalibrationText& text) {
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(files));
  ASSIGN_OR_RETURN(auto stored, files.open_checkpoint());
  RETURN_IF_ERROR(model::untie_stored_head(*stored, config));
  TracedCheckpoint checkpoint(std::move(stored));
  ASSIGN_OR_RETURN(const auto cpu, backend::make_backend("cpu", {.threads = runtime.threads, .isa = runtime.isa}));
  Places places;
  ObservedBackend observed(*cpu, [&](MatrixKey key, const std::byte* data) {
    if (auto place = checkpoint.place_of(data); !place.tensor.empty()) places.emplace_back(key, std::move(place));
  });
  const int context = std::min(text.context, config.positions_max), n_blocks = (context + kBlock - 1) / kBlock;
  ASSIGN_OR_RETURN(const auto transformer,
                   model::load_model(config, checkpoint, observed, {.dtype = config.dtype, .model_len = context}));
  RETURN_IF_ERROR(
      transformer->reserve({.tokens_max = kStepTokens, .seqs_max = 1, .logit_rows_max = 1, .blocks_max = n_blocks}));
  const bool bf16 = config.dtype == tensor::DType::kBf16;
  RETURN_IF_ERROR(transformer->make_cache({.block_size = kBlock,
                                           .type = {bf16 ? tensor::DType::kBf16 : tensor::DType::kF32, {}},
                                           .n_blocks = n_blocks,
                                           .n_state_slots = 1}));
  OneSequence sequence(*transformer, kBlock, context);
  observed.forget();  // what make_cache() ran
  for (size_t begin = 0; begin < text.tokens.size();) {
    sequence.restart();
    const size_t end = std::min(text.tokens.size(), begin + static_cast<size_t>(context));
    for (; begin < end;) {
      const size_t n = std::min<size_t>(kStepTokens, end - begin);
      const std::span<const int32_t> step(&text.tokens[begin], n);
      RETURN_IF_ERROR(transformer->forward(sequence.step(step, OneSequence::Logits::kLast)).status());
      begin += n;
    }
    base::log_info("quantize", "calibration: ", begin, " of ", text.tokens.size(), " tokens");
  }
  return importance_of(places, observed.squares());
}

absl::StatusOr<Importance> calibrated(const Options& options) {
  const std::string& path = options.quantize.calibrate;
  if (path.empty()) return Importance();
  ASSIGN_OR_RETURN(const std::string text, base::read_file(path, kTextBytesMax));
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(options.model.name));
  ASSIGN_OR_RETURN(const auto tokenizer, load_tokenizer_of(files->tokenizer_source()));
  CalibrationText read{.tokens = tokenizer->encode(text, true)};
  if (read.tokens.size() > kTokensMax) read.tokens.resize(kTokensMax);
  ASSIGN_OR_RETURN(const model::ModelConfig config, model::read_config(*files));
  std::erase_if(read.tokens, [&](int32_t id) { return id >= config.vocab; });
  if (read.tokens.empty()) return absl::InvalidArgumentError(absl::StrCat("--calibrate ", path, ": has no tokens"));
  return calibrate(*files, options.runtime, read);
}

}  // namespace polymath::commands
