#!/usr/bin/env python3
"""Writes tests/conformance/data/quant/<format>.bin: blocks of every ggml type, and their values by the gguf package.

    pip install -r tools/requirements.txt && tools/make_quant_cases.py

A file is u32 number of values, the packed blocks, then the values in float32. The blocks are random bytes under scales
of several sizes, after blocks of all zeros and all ones.
"""

import pathlib
import struct

import gguf
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data/quant"
SCALES = [1.0, -0.03125, 6.1e-5, 5.96e-8, 1000.0, 0.0, 0.7294, -2.5e-3]  # 5.96e-8: the smallest subnormal
VALUES = 2048

# Where a block keeps its f16 scales.
F16_AT = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "MXFP4": [],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ1_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ4_XS": [0],
    "TQ1_0": [52], "TQ2_0": [64], "IQ1_M": [],
}  # fmt: skip


def set_scales(name, block, i):
    for k, at in enumerate(F16_AT[name]):
        block[at : at + 2] = np.frombuffer(np.float16(SCALES[(i + 3 * k) % len(SCALES)]).tobytes(), np.uint8)
    if name == "MXFP4":
        block[0] = [127, 120, 0, 1, 252, 2, 133, 100][i % 8]
    if name == "IQ1_M":  # the f16 is spread over the upper four bits of four words
        (half,) = struct.unpack("<H", np.float16(SCALES[i % len(SCALES)]).tobytes())
        for j in range(4):
            block[49 + 2 * j] = (block[49 + 2 * j] & 15) | ((half >> (4 * j) & 15) << 4)


def make(name, rng):
    kind = gguf.GGMLQuantizationType[name]
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    n = VALUES // block_values
    blocks = rng.integers(0, 256, (n, block_bytes), np.uint8)
    blocks[0] = 0
    blocks[1] = 255
    for i in range(n):
        set_scales(name, blocks[i], i)
    values = gguf.quants.dequantize(blocks.reshape(-1), kind).astype(np.float32)
    assert values.size == VALUES and np.isfinite(values).all(), name
    return struct.pack("<I", VALUES) + blocks.tobytes() + values.tobytes()


def main():
    OUT.mkdir(exist_ok=True)
    for name in F16_AT:
        (OUT / f"{name.lower()}.bin").write_bytes(make(name, np.random.default_rng(1)))


if __name__ == "__main__":
    main()
