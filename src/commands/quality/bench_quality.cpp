#include "commands/quality/bench_quality.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/read_file.h"
#include "base/write_file.h"
#include "commands/model_text.h"
#include "commands/one_sequence.h"
#include "commands/quality/divergence.h"
#include "commands/runtime.h"

namespace polymath::commands {
namespace {

constexpr size_t kTextBytesMax = 64 << 20;  // a larger file is refused
constexpr int kStepTokens = 64;             // each has logits: a step's host memory is that times the vocabulary

// A loaded model, and the sequence that reads the text.
struct Reader {
  std::unique_ptr<base::MetricsRegistry> metrics = std::make_unique<base::MetricsRegistry>();  // outlives the engine
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<OneSequence> sequence;

  absl::StatusOr<tensor::Tensor> step(std::span<const int32_t> tokens) {
    return runtime->transformer().forward(sequence->step(tokens, OneSequence::Logits::kAll));
  }
};

// Room for one window, so that two models fit on a device.
absl::StatusOr<Reader> open_reader(const ModelOptions& model, RuntimeOptions options, int context) {
  options.step_tokens = options.sequences = std::min(kStepTokens, context);
  options.kv_blocks = (context + options.block_size - 1) / options.block_size;
  options.eager = true;  // no step is of one token
  Reader reader;
  ASSIGN_OR_RETURN(reader.runtime, Runtime::open(model, options));
  if (context > reader.runtime->model_len_max()) {
    return absl::InvalidArgumentError(absl::StrCat("--context ", context, ": ", model.name, " takes at most ",
                                                   reader.runtime->model_len_max(), " tokens"));
  }
  RETURN_IF_ERROR(reader.runtime->load(*reader.metrics));
  reader.sequence = std::make_unique<OneSequence>(reader.runtime->transformer(), options.block_size, context);
  return reader;
}

// The text as both models read it.
struct TextTokens {
  std::vector<int32_t> bos;     // the tokenizer's first token; empty: it has none
  std::vector<int32_t> tokens;  // with the one that follows the last position
};

// Both models must read the text's first tokens alike, and know each of them.
absl::StatusOr<TextTokens> text_tokens(const Options& options, const Runtime& reference, const Runtime& model,
                                       int vocab) {
  ASSIGN_OR_RETURN(const std::string text, base::read_file(options.quality.text, kTextBytesMax));
  ASSIGN_OR_RETURN(const auto tokenizer, load_tokenizer_of(reference.files().tokenizer_source()));
  ASSIGN_OR_RETURN(const auto other, load_tokenizer_of(model.files().tokenizer_source()));
  TextTokens out{tokenizer->encode("", true), tokenizer->encode(text, false)};
  out.bos.resize(std::min<size_t>(out.bos.size(), 1));
  auto& tokens = out.tokens;
  if (tokens != other->encode(text, false)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--against ", options.quality.against, ": the two models split the text into different tokens"));
  }
  const auto n_max = static_cast<size_t>(options.quality.tokens) + 1;
  if (tokens.size() > n_max) tokens.resize(n_max);
  if (tokens.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat("--text ", options.quality.text, " has less than two tokens"));
  }
  for (const auto* some : {&out.bos, &tokens}) {
    const auto unknown = std::find_if(some->begin(), some->end(), [&](int32_t id) { return id >= vocab; });
    if (unknown == some->end()) continue;
    return absl::InvalidArgumentError(absl::StrCat("--text ", options.quality.text, ": its token ", *unknown,
                                                   " is outside the models' vocabulary of ", vocab));
  }
  return out;
}

// Windows of `context` tokens, each behind the tokenizer's first token (BOS) where it has one.
absl::Status compare(const QualityOptions& options, Reader& reference, Reader& model, const TextTokens& text,
                     Divergence& divergence) {
  const auto& [bos, tokens] = text;
  const size_t width = static_cast<size_t>(options.context) - bos.size(), last = tokens.size() - 1;
  const auto vocab = static_cast<size_t>(reference.runtime->transformer().vocab());
  for (size_t begin = 0; begin < last; begin += width) {
    reference.sequence->restart(), model.sequence->restart();
    std::vector<int32_t> window = bos;
    const auto from = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
    window.insert(window.end(), from, from + static_cast<std::ptrdiff_t>(std::min(width, last - begin)));
    for (size_t at = 0; at < window.size(); at += kStepTokens) {
      const std::span<const int32_t> step(&window[at], std::min<size_t>(kStepTokens, window.size() - at));
      ASSIGN_OR_RETURN(const tensor::Tensor p, reference.step(step));
      ASSIGN_OR_RETURN(const tensor::Tensor q, model.step(step));
      for (size_t row = 0; row < step.size(); ++row) {
        const size_t next = begin + at + row + 1 - bos.size();
        if (divergence.add({p.f32() + row * vocab, vocab}, {q.f32() + row * vocab, vocab}, tokens[next])) continue;
        return absl::DataLossError(absl::StrCat("the logits after token ", next, " of the text are NaN or infinite"));
      }
    }
    base::log_info("bench", std::min(begin + width, last), " of ", last, " tokens");
  }
  return absl::OkStatus();
}

void print(const QualityFigures& f) {
  std::printf("%lld positions\n", static_cast<long long>(f.positions));
  std::printf("perplexity           %.5f, of the reference %.5f (%+.3f %%)\n", f.perplexity, f.reference_perplexity,
              100 * (f.perplexity / f.reference_perplexity - 1));
  std::printf("KL divergence        mean %.6f, median %.6f, p99 %.6f, largest %.6f\n", f.kl_mean, f.kl_median, f.kl_p99,
              f.kl_max);
  std::printf("same top token       %.3f %%\n", 100 * f.same_top);
  std::printf("error of the logits  largest %.5f, root mean square %.5f\n", f.largest_logit_error, f.logit_error_rms);
}

absl::Status write(const std::string& path, const QualityFigures& f) {
  if (path.empty()) return absl::OkStatus();
  const boost::json::object report{{"positions", f.positions},
                                   {"perplexity", f.perplexity},
                                   {"reference_perplexity", f.reference_perplexity},
                                   {"kl_mean", f.kl_mean},
                                   {"kl_median", f.kl_median},
                                   {"kl_p99", f.kl_p99},
                                   {"kl_max", f.kl_max},
                                   {"same_top_share", f.same_top},
                                   {"largest_logit_error", f.largest_logit_error},
                                   {"logit_error_rms", f.logit_error_rms}};
  return base::write_file(path, boost::json::serialize(report) + "\n");
}

ModelOptions reference_of(const Options& options) {
  ModelOptions reference;
  reference.name = options.quality.against;
  reference.dtype = options.quality.reference_dtype;
  return reference;
}

}  // namespace

absl::Status bench_quality(const Options& options) {
  const QualityOptions& quality = options.quality;
  if (quality.against.empty()) return absl::InvalidArgumentError("no --against: name the reference model");
  if (quality.text.empty()) return absl::InvalidArgumentError("no --text: name a file to compare the models on");
  RuntimeOptions reference_runtime = options.runtime;
  reference_runtime.kv_dtype = "auto";
  ASSIGN_OR_RETURN(Reader reference, open_reader(reference_of(options), reference_runtime, quality.context));
  ASSIGN_OR_RETURN(Reader model, open_reader(options.model, options.runtime, quality.context));
  const int vocab = reference.runtime->transformer().vocab();
  if (vocab != model.runtime->transformer().vocab()) {
    return absl::InvalidArgumentError(absl::StrCat("--against ", quality.against, ": its vocabulary has ", vocab,
                                                   " entries, the model's ", model.runtime->transformer().vocab()));
  }
  ASSIGN_OR_RETURN(const TextTokens tokens, text_tokens(options, *reference.runtime, *model.runtime, vocab));
  Divergence divergence(vocab);
  RETURN_IF_ERROR(compare(quality, reference, model, tokens, divergence));
  print(divergence.figures());
  return write(options.bench.output_json, divergence.figures());
}

}  // namespace polymath::commands
