#pragma once

// Tensors by name, straight from the files of a model.
//
//   ASSIGN_OR_RETURN(auto checkpoint, open_checkpoint(directory, {}));
//   ASSIGN_OR_RETURN(RawTensor t, checkpoint->read("model.norm.weight", {2048}));
//   ... use t.data ...
//   checkpoint->release("model.norm.weight");   // its pages may leave memory
//
// Nothing is copied: a file is mapped, and every offset, shape and type in its header is checked against the
// file's size before anything is read. Pickle files and code are refused, never run.
//
// Thread safety: read() and release() of different tensors may run at once.
// Sources: safetensors' README; the GGUF specification (gguf_header.h).

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "quant/format.h"
#include "quant/generated.h"
#include "tensor/tensor.h"

namespace polymath::weights {

struct CheckpointLimits {
  size_t header_bytes_max = 100u << 20;  // a longer safetensors header: kInvalidArgument
  size_t tensors_max = 2'000'000;        // more: kInvalidArgument
  int shards_max = 4096;                 // more: kInvalidArgument
};

struct TensorInfo {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;  // kU8 of a packed format; kCount: listed only, read() refuses it by name
  tensor::Shape shape;
  size_t bytes = 0;
  std::string file;                            // for messages
  const quant::QuantFormat* format = nullptr;  // null: no format of weights (integers, a type that is listed only)
};

// What a checkpoint calls its tensors.
enum class Naming {
  kHuggingFace,  // as transformers' modules: "model.layers.0.mlp.gate.weight"
  kGguf,         // as the GGUF specification: "blk.0.ffn_gate_inp.weight"
};

struct RawTensor {
  tensor::DType dtype = tensor::DType::kF32;
  tensor::Shape shape;
  const std::byte* data = nullptr;             // valid until release() of it, or the checkpoint's end;
                                               // aligned as the file has it, not necessarily to its type
  const quant::QuantFormat* format = nullptr;  // as TensorInfo's
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // Every tensor, sorted by name. Empty for a checkpoint that makes what is asked of it (dummy).
  virtual std::span<const TensorInfo> tensors() const = 0;
  virtual bool has(std::string_view name) const = 0;
  virtual Naming naming() const { return Naming::kHuggingFace; }

  // kNotFound; kInvalidArgument: another shape than `expected` (both are named, with the file); kUnimplemented: an
  // element type that is not read here.
  virtual absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) = 0;
  // Says that the tensor will be read soon: its pages are fetched ahead.
  virtual void prefetch(std::string_view name) = 0;
  virtual void release(std::string_view name) = 0;

  virtual size_t bytes_total() const = 0;  // of all tensors; 0: not known (dummy)

  // How a matrix (not a vector) of that name is made, where it is computed and not stored (dummy): read() gives the
  // same values.
  virtual std::optional<quant::Generator> generator(std::string_view /*name*/) const { return std::nullopt; }
};

// How a message about a tensor begins: FILE: tensor "NAME"; without a file where the checkpoint has none (dummy).
std::string place_of(const Checkpoint& checkpoint, std::string_view tensor);

// The format of a stored tensor, or of a computed one (dummy). Null: no such tensor, or no format of weights.
const quant::QuantFormat* stored_format(const Checkpoint& checkpoint, std::string_view tensor);

// model.safetensors, or the shards that model.safetensors.index.json names (an index and no shard of it missing),
// or any *.safetensors of the directory (consolidated* is left out beside model*). kNotFound: no weights, or a shard is
// missing. kFailedPrecondition: only pickle files (*.bin, *.pt,
// *.pth, *.pkl, *.ckpt), which are refused by name. kInvalidArgument, kDataLoss: a file lies or is cut short; the
// message names the file and the tensor.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& directory,
                                                            const CheckpointLimits& limits);

// One safetensors file from memory; for tests and fuzzing. `bytes` must outlive it.
absl::StatusOr<std::unique_ptr<Checkpoint>> parse_safetensors(std::span<const std::byte> bytes,
                                                              const CheckpointLimits& limits);

// Has every tensor that is asked for: seeded, normally distributed weights of standard deviation `scale`, a
// function of (seed, name) alone; norm weights (names that end in "norm.weight", "layernorm.weight", "norm_1.weight",
// ...: any 1-D tensor called *norm*weight) are 1, other 1-D tensors (biases) are a tenth as large. `dtype`: of every
// tensor. REQUIRES: f32, f16 or bf16.
std::unique_ptr<Checkpoint> dummy_checkpoint(uint64_t seed, tensor::DType dtype, float scale = 0.02f);

// What `--model` names -> a directory or a *.gguf file: a path that exists; else "org/name" (with an optional revision)
// in the local Hugging Face cache (HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
// ~/.cache/huggingface/hub): models--org--name/refs/<revision> -> snapshots/<hash>. kNotFound with the places looked
// at. Names are checked: no "..", no absolute parts, [A-Za-z0-9._-] only. Another file is refused: kFailedPrecondition
// for pickle, else kInvalidArgument.
absl::StatusOr<std::string> resolve_model(std::string_view model, std::string_view revision);

}  // namespace polymath::weights
