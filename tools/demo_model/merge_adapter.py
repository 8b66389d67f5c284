#!/usr/bin/env python3
"""Adds a LoRA adapter in PEFT's format to the weights of its base model: merge_adapter.py BASE ADAPTER OUT

W' = W + lora_alpha / r * B A, rounded to bf16: a checkpoint that any server loads. Needs numpy only.
"""

import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

PREFIX = "base_model.model."  # what PEFT puts before every module's name
WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"


def read_safetensors(path):
    """{name: f32 array} of a file of bf16 and f32 tensors."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_bytes + at for at in info["data_offsets"])
        tensors[name] = _as_f32(info["dtype"], data[begin:end]).reshape(info["shape"])
    return tensors


def _as_f32(dtype, data):
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F32":
        return np.frombuffer(data, "<f4")
    raise ValueError(f"a tensor of {dtype}: only BF16 and F32 are known")


def to_bf16(values):
    """The nearest bf16, ties to even, as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors):
    """All tensors as bf16."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, at + 2 * values.size]}
        at += 2 * values.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(to_bf16(values).tobytes())


def merge(weights, adapter, scale):
    """Adds every pair lora_A [r, in], lora_B [out, r] to its weight [out, in]; a pair without a weight is an error."""
    for name, a in adapter.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        target = module.removeprefix(PREFIX) + ".weight"
        if target not in weights:
            raise ValueError(f"{name}: the base model has no {target}")
        weights[target] = weights[target] + scale * (adapter[module + ".lora_B.weight"] @ a)
    return weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "adapter", "out"):
        parser.add_argument(name, type=pathlib.Path)
    args = parser.parse_args()
    config = json.loads((args.adapter / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    weights = merge(read_safetensors(args.base / WEIGHTS), read_safetensors(args.adapter / ADAPTER), scale)
    args.out.mkdir(parents=True, exist_ok=True)
    for file in args.base.iterdir():
        if file.name != WEIGHTS:
            shutil.copy(file, args.out)
    write_safetensors(args.out / WEIGHTS, weights)


if __name__ == "__main__":
    main()
