#include "backend/cuda/tensor_map.h"

#include <cuda_runtime_api.h>

namespace polymath::backend::cuda {
namespace {

constexpr int kAxesMax = 5;         // more: refused, as by the driver
constexpr unsigned kSince = 12000;  // the version of CUDA that cuTensorMapEncodeTiled came with

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode find_encoder() {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, kSince, cudaEnableDefault, &found);
  return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(entry) : nullptr;
}

}  // namespace

bool encode_tensor_map(const void* data, const MapAxis* axes, int n_axes, bool bf16, CUtensorMap* map) {
  static const Encode encode = find_encoder();
  if (encode == nullptr || n_axes < 1 || n_axes > kAxesMax) return false;
  cuuint64_t sizes[kAxesMax], strides[kAxesMax];
  cuuint32_t boxes[kAxesMax], steps[kAxesMax];
  for (int i = 0; i < n_axes; ++i) {
    sizes[i] = axes[i].size;
    boxes[i] = axes[i].box;
    steps[i] = 1;
    if (i > 0) strides[i - 1] = axes[i].stride_bytes;
  }
  // L2 promotion to 256 bytes is 2-4 % slower. Probably the second half of an evict_first line is gone before it is
  // read.
  return encode(map, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                static_cast<cuuint32_t>(n_axes), const_cast<void*>(data), sizes, strides, boxes, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace polymath::backend::cuda
