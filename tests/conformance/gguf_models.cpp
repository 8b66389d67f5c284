// GGUF files that tools/make_gguf.py converted from safetensors, against the originals and their unpacked values.
//
//     conformance_gguf_models FILE...        MODEL.TYPE.gguf, as gguf_models.py names them
//
// F32 and BF16 files give the original's logits within 1e-3. Packed ones give those of the model of their unpacked
// values, on every backend of this machine.

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "runner.h"
#include "unpacked.h"

namespace polymath::conformance {
namespace {

constexpr double kTolerance = 1e-3;

struct File {
  std::string path, model, type;
};

File file_of(const std::string& path) {
  const std::string name = std::filesystem::path(path).stem().string();  // without .gguf
  const std::string whole = name.substr(0, name.find("-00001-of-"));
  const size_t dot = whole.rfind('.');
  return {path, whole.substr(0, dot), whole.substr(dot + 1)};
}

std::string original_of(const std::string& model) {
  const std::string tiny = model_directory(model);
  return std::filesystem::exists(tiny) ? tiny : absl::StrCat(POLYMATH_SOURCE_DIR, "/models/", model);
}

// GGUF says nothing of Llama 4's chunks: they are 8192 tokens. The tiny model's are 64.
size_t prompt_len(const std::string& model) { return model == "llama4-text" ? 60 : 100; }

absl::StatusOr<std::vector<float>> logits_of(absl::StatusOr<std::unique_ptr<Runner>> runner, size_t prompt) {
  RETURN_IF_ERROR(runner.status());
  Runner::Sequence s;
  for (size_t i = 0; i < prompt; ++i) {
    s.tokens.push_back(static_cast<int32_t>((i * 7919 + 11) % static_cast<size_t>((*runner)->vocab())));
  }
  return (*runner)->step({&s}, 0);
}

absl::Status compare(const std::vector<float>& got, const std::vector<float>& expected, double tolerance,
                     const std::string& what) {
  if (got.size() != expected.size() || got.empty()) return absl::InternalError(what + ": other sizes");
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(static_cast<double>(got[i]) - expected[i]);
    if (!(difference <= worst)) worst = difference;  // a NaN stays
  }
  if (worst <= tolerance) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": logits differ by ", worst));
}

absl::Status check_original(const File& file) {
  const size_t prompt = prompt_len(file.model);
  const RunnerOptions options{.backend = "cpu"};
  ASSIGN_OR_RETURN(const auto got, logits_of(Runner::create(file.path, options), prompt));
  ASSIGN_OR_RETURN(const auto expected, logits_of(Runner::create(original_of(file.model), options), prompt));
  return compare(got, expected, kTolerance, "against the original");
}

absl::Status check_unpacked(const File& file) {
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(file.path));
  ASSIGN_OR_RETURN(const model::ModelConfig config, model::read_config(*files));
  for (const char* backend : {"reference", "cpu", "cuda"}) {
    if (!backend::make_backend(backend, {.threads = 1}).ok()) continue;  // no GPU
    const RunnerOptions options{.backend = backend};
    constexpr size_t kPrompt = 20;
    ASSIGN_OR_RETURN(const auto packed, logits_of(Runner::create(file.path, options), kPrompt));
    ASSIGN_OR_RETURN(auto checkpoint, files->open_checkpoint());
    Unpacked unpacked(std::move(checkpoint));
    ASSIGN_OR_RETURN(const auto plain, logits_of(Runner::create(config, unpacked, options), kPrompt));
    RETURN_IF_ERROR(compare(packed, plain, kTolerance, absl::StrCat("unpacked, ", backend)));
  }
  return absl::OkStatus();
}

int run(const std::vector<std::string>& paths) {
  int failed = 0;
  for (const std::string& path : paths) {
    const File file = file_of(path);
    const bool plain = file.type == "F32" || file.type == "BF16";
    const absl::Status status = plain ? check_original(file) : check_unpacked(file);
    std::printf("%s %s: %s\n", file.model.c_str(), file.type.c_str(), status.ToString().c_str());
    failed += status.ok() ? 0 : 1;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace polymath::conformance

int main(int argc, char** argv) { return polymath::conformance::run({argv + 1, argv + argc}); }
