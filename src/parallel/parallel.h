#pragma once

// Who holds which part. One device is a group of one rank; there is no other case yet: a size above one refuses at
// the flags, with a sentence.

namespace polymath::parallel {

struct ParallelConfig {
  int tensor = 1;    // ranks that split a layer's matrices
  int expert = 1;    // ranks that split the experts
  int pipeline = 1;  // ranks that split the layers
  int data = 1;      // replicas
};

// The axis along which a weight is split over the tensor or expert group.
enum class Shard {
  kNone,    // every rank has all of it
  kVocab,   // rows of the vocabulary
  kOutput,  // output features
  kInput,   // input features
  kExpert,  // whole experts
  kCount,
};

}  // namespace polymath::parallel
