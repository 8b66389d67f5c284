#pragma once

// Tensors by name, straight from the files of a model.
//
//   ASSIGN_OR_RETURN(auto checkpoint, open_checkpoint(directory, {}));
//   ASSIGN_OR_RETURN(RawTensor t, checkpoint->read("model.norm.weight", {2048}));
//   ... use t.data ...
//   checkpoint->release("model.norm.weight");   // its pages may leave memory
//
// Files are mapped, not copied. Offsets, shapes and types are checked against the file's size before a tensor is read.
// Pickle files are refused. Code is never run.
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
  size_t bytes = 0;                            // in the files
  std::string file;                            // for messages
  const quant::QuantFormat* format = nullptr;  // null: no format of weights (integers, a type that is listed only)
  std::string scheme = {};                     // "gptq int4, groups of 128"; empty: stored in `format`
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

  // Every tensor, sorted by name. Empty: tensors are made on request (dummy).
  virtual std::span<const TensorInfo> tensors() const = 0;
  virtual bool has(std::string_view name) const = 0;
  virtual Naming naming() const { return Naming::kHuggingFace; }

  // kNotFound: no such tensor. kInvalidArgument: its shape is not `expected`; the message has both shapes and the file.
  // kUnimplemented: its element type cannot be read.
  virtual absl::StatusOr<RawTensor> read(std::string_view name, const tensor::Shape& expected) = 0;
  // Starts to fetch the tensor's pages; it will be read soon.
  virtual void prefetch(std::string_view name) = 0;
  virtual void release(std::string_view name) = 0;

  // How a dummy matrix of that name is computed; read() gives the same values. Vectors are made differently.
  // Nullopt: the tensors are stored.
  virtual std::optional<quant::Generator> generator(std::string_view /*name*/) const { return std::nullopt; }
};

// Null: it is not stored.
const TensorInfo* find_tensor(const Checkpoint& checkpoint, std::string_view name);

// How a message about a tensor starts: FILE: tensor "NAME". A dummy has no FILE.
std::string place_of(const Checkpoint& checkpoint, std::string_view tensor);

// The format of a tensor, stored or computed (dummy). Null: no such tensor, or no format of weights.
const quant::QuantFormat* stored_format(const Checkpoint& checkpoint, std::string_view tensor);

// Opens a directory's safetensors files, the first of these that it has:
//
//   model.safetensors
//   the shards that model.safetensors.index.json names, all of them; it decides between copies of a tensor
//   any *.safetensors; consolidated* is left out beside model*
//
// kNotFound: no weights, or a shard is missing.
// kFailedPrecondition: only pickle files (*.bin, *.pt, *.pth, *.pkl, *.ckpt); the message lists them.
// kInvalidArgument, kDataLoss: a file is inconsistent or cut short. The message names the file and the tensor.
absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& directory,
                                                            const CheckpointLimits& limits);

// One safetensors file from memory; for tests and fuzzing. `bytes` must outlive it.
absl::StatusOr<std::unique_ptr<Checkpoint>> parse_safetensors(std::span<const std::byte> bytes,
                                                              const CheckpointLimits& limits);

// Makes every tensor that is asked for, from (seed, name) alone. `dtype`: of every tensor. REQUIRES: f32, f16 or bf16.
//
//   matrices                        normally distributed, of standard deviation `scale`
//   1-D tensors named *norm*weight  1
//   other 1-D tensors (biases)      normally distributed, a tenth as large
std::unique_ptr<Checkpoint> dummy_checkpoint(uint64_t seed, tensor::DType dtype, float scale = 0.02f);

// The directory or *.gguf file that `--model` names. An existing path is taken as it is. Else `model` is "name" or
// "org/name", and is looked up in the local Hugging Face caches, in this order:
//
//   HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub
//
// There models--org--name/refs/<revision> holds a commit, and snapshots/<commit> is the model. An empty revision is
// "main". Names and revisions are [A-Za-z0-9._-] without "..".
//
// kNotFound: neither a path nor in a cache; the message lists the places. kFailedPrecondition: a pickle file.
// kInvalidArgument: another kind of file, or a bad revision.
absl::StatusOr<std::string> resolve_model(std::string_view model, std::string_view revision);

}  // namespace polymath::weights
