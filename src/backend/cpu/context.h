#pragma once

// Shared by the ops of the CPU backend: the kernels, the threads, and scratch for the largest step.

#include <span>

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/team.h"

namespace polymath::backend::cpu {

// Rows that use a tile's weights at once. Of 2,048 inputs their packed rows fill less than half of an L2 cache of 2 MB.
constexpr int kSegmentRows = 192;
static_assert(kSegmentRows % kRowsMax == 0);
// Tiles of an expert's second GEMM that use a segment's rows at once.
constexpr int kDownTiles = 8;

// Rows of a GEMM that share a group's weights.
struct Segment {
  int64_t group = 0;
  int64_t first_row = 0;  // among all packed rows
  int rows = 0;           // at most kSegmentRows
};

struct AttentionScratch {
  uint32_t* queries = nullptr;                           // [rows][steps of a key]
  float* scores = nullptr;                               // [rows][kProbStride]
  float* out = nullptr;                                  // [rows][value_dim, whole tiles]
  std::byte* values = nullptr;                           // transposed latent values of one run of keys
  std::byte* unpacked = nullptr;                         // of a packed cache: one run's keys, then its values
  float *key_scales = nullptr, *value_scales = nullptr;  // [kProbStride] each: of the run
};

struct Scratch {
  uint32_t* input = nullptr;              // packed rows
  uint32_t* intermediate = nullptr;       // packed rows of the experts' intermediate activations
  float* row_weights = nullptr;           // [pairs_max]: of the sorted pairs
  int32_t* row_tokens = nullptr;          // [pairs_max]
  Segment* segments = nullptr;            // [segments_max]
  int64_t* seq_tasks = nullptr;           // [seqs_max + 1]: attention's first task of each sequence
  std::span<float*> sums;                 // of each thread: [kSegmentRows][kDownTiles * 32]
  std::span<AttentionScratch> attention;  // of each thread
  size_t input_bytes = 0, inner_bytes = 0;
  // As given to reserve(). A larger step is our own fault: CHECK.
  int64_t pairs_max = 0, segments_max = 0, seqs_max = 0, key_dim_max = 0, value_dim_max = 0;
};

struct Context {
  const Kernels& kernels;
  Team team;
  Scratch scratch;

  // Whether so many bytes and operations are worth waking the other threads.
  static bool worth_sharing(double bytes, double flops) { return bytes / 20e9 + flops / 200e9 > 15e-6; }
};

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace polymath::backend::cpu
