#!/usr/bin/env python3
"""Writes tests/conformance/data/quantized: a tiny model in each quantisation scheme, with what its weights unpack to.

    pip install numpy && tools/make_quantized.py

A case is a Qwen3-MoE (mxfp4: the experts of models/gpt-oss) whose linear layers are random codes under random scales.
values.json has each weight's shape and the SHA-256 of its values in float32, as numpy computes them here from the
schemes' published definitions. Zeros have no sign there.
"""

import hashlib
import json
import pathlib
import struct
import zlib

import numpy as np

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data"
OUT = DATA / "quantized"
TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int32): "I32", np.dtype(np.int64): "I64",
         np.dtype(np.uint8): "U8", np.dtype(np.int8): "I8"}  # fmt: skip
BIASED_FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
FP4 = np.array(BIASED_FP4 + [-v for v in BIASED_FP4], np.float32)
NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
                1.0], np.float32)  # fmt: skip
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


class Typed:
    """An array of a type that numpy lacks: its bytes, and how safetensors calls it."""

    def __init__(self, name, array):
        self.name, self.array = name, array

    shape = property(lambda self: self.array.shape)

    def tobytes(self):
        return self.array.tobytes()


def bf16(values):
    """float32 values cut to bfloat16."""
    return (np.asarray(values, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


def as_bf16(values):
    return Typed("BF16", (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16))


def e4m3_value(code):
    sign, exponent, mantissa = -1 if code & 128 else 1, code >> 3 & 15, code & 7
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


E4M3 = np.array([e4m3_value(c) for c in range(256)], np.float32)  # 127 and 255 are NaN: no code here


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        raw = array.tobytes()
        kind = array.name if isinstance(array, Typed) else TYPES[array.dtype]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, info in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            raw = np.frombuffer(data[8 + n + begin : 8 + n + end], np.uint16 if info["dtype"] == "BF16" else np.float32)
            out[name] = Typed(info["dtype"], raw.reshape(info["shape"]))
    return out


class Case:
    """One scheme: `quantize(rng, module, rows, cols)` returns (tensors, values in float32)."""

    def __init__(self, config, quantize, intermediate=128):
        self.config, self.quantize, self.intermediate = config, quantize, intermediate


def scales(rng, shape):
    return (rng.uniform(0.5, 1.5, shape) * 0.01).astype(np.float32)


def pack_words(codes, bits, axis):
    """Neighbours along `axis` into words of 32 bits, the first one low."""
    codes = np.moveaxis(codes.astype(np.uint32), axis, -1)
    parts = codes.reshape(*codes.shape[:-1], -1, 32 // bits)
    words = np.zeros(parts.shape[:-1], np.uint32)
    for i in range(32 // bits):
        words |= parts[..., i] << np.uint32(i * bits)
    return np.moveaxis(words, -1, axis).astype(np.int32)


def pack_awq(codes):
    """[inputs, outputs] into [inputs, outputs / 8]."""
    parts = codes.astype(np.uint32).reshape(codes.shape[0], -1, 8)
    words = np.zeros(parts.shape[:-1], np.uint32)
    for i, output in enumerate(AWQ_ORDER):
        words |= parts[..., output] << np.uint32(4 * i)
    return words.astype(np.int32)


def awq(group):
    def quantize(rng, m, rows, cols):
        size = cols if group < 0 else group
        codes, zeros = rng.integers(0, 16, (cols, rows)), rng.integers(5, 11, (cols // size, rows))
        scale = scales(rng, zeros.shape).astype(np.float16)
        values = (codes - zeros.repeat(size, 0)).astype(np.float32) * scale.astype(np.float32).repeat(size, 0)
        return {m + "qweight": pack_awq(codes), m + "qzeros": pack_awq(zeros), m + "scales": scale}, values.T

    config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm",
              "modules_to_not_convert": None}  # fmt: skip
    return Case(config, quantize)


def gptq(bits, group, added=1, reordered=False, symmetric=False, words=None):
    def quantize(rng, m, rows, cols):
        size = cols if group < 0 else group
        codes = rng.integers(0, 2**bits, (cols, rows))
        zeros = rng.integers(1, 2**bits, (cols // size, rows))  # version 1 cannot store 0
        if symmetric:
            zeros[:] = 2 ** (bits - 1)
        scale = scales(rng, zeros.shape).astype(np.float16)
        order = np.arange(cols, dtype=np.int32) // size
        if reordered:
            rng.shuffle(order)
        values = (codes - zeros[order]).astype(np.float32) * scale.astype(np.float32)[order]
        tensors = {m + "qweight": pack_words(codes, bits, 0), m + "qzeros": pack_words(zeros - added, bits, 1),
                   m + "scales": scale, m + "g_idx": order}  # fmt: skip
        return tensors, values.T

    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": reordered, "sym": symmetric,
              "checkpoint_format": "gptq" if added else "gptq_v2", "damp_percent": 0.1}  # fmt: skip
    return Case(config | (words or {}), quantize)


def fp8_codes(rng, shape):
    codes = rng.integers(0, 255, shape).astype(np.uint8)
    codes[codes == 127] = 126
    return codes


def fp8_blocks(name, rows_of_block, cols_of_block, config, intermediate=128, scale_type=None):
    def quantize(rng, m, rows, cols):
        block = (rows if rows_of_block is None else rows_of_block, cols if cols_of_block is None else cols_of_block)
        codes = fp8_codes(rng, (rows, cols))
        scale = scales(rng, (-(-rows // block[0]), -(-cols // block[1]))) / 100
        stored = scale
        if scale_type == "BF16":
            scale = bf16(scale)
            stored = as_bf16(scale)
        elif scale_type == "scalar":
            stored = scale.reshape(())
        elif scale_type == "one":
            stored = scale.reshape(1)
        values = E4M3[codes] * scale.repeat(block[0], 0)[:rows].repeat(block[1], 1)[:, :cols]
        tensors = {m + "weight": Typed("F8_E4M3", codes), m + name: stored}
        if config.get("activation_scheme") == "static":
            tensors[m + "input_scale"] = np.float32([0.5]).reshape(())
        return tensors, values

    return Case(config, quantize, intermediate)


def compressed(weights, kind, **more):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {"quant_method": "compressed-tensors", "format": kind, "config_groups": {"group_0": group},
            "ignore": ["lm_head", "re:.*mlp.gate$"], "kv_cache_scheme": None, "quantization_status": "compressed"} | more  # fmt: skip


def int_weights(bits, group, symmetric=True, actorder=None):
    return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel",
            "group_size": group, "actorder": actorder, "dynamic": False, "observer": "minmax", "observer_kwargs": {},
            "block_structure": None}  # fmt: skip


def packed_ints(bits, group, symmetric=True, reordered=False):
    def quantize(rng, m, rows, cols):
        size = group or cols
        codes, zeros = rng.integers(0, 2**bits, (rows, cols)), np.full((rows, cols // size), 2 ** (bits - 1))
        if not symmetric:
            zeros = rng.integers(0, 2**bits, zeros.shape)
        scale = bf16(scales(rng, zeros.shape))
        order = np.arange(cols, dtype=np.int32) // size
        if reordered:
            rng.shuffle(order)
        values = (codes - zeros[:, order]).astype(np.float32) * scale[:, order]
        tensors = {m + "weight_packed": pack_words(codes, bits, 1), m + "weight_scale": as_bf16(scale),
                   m + "weight_shape": np.array([rows, cols], np.int64)}  # fmt: skip
        if not symmetric:
            tensors[m + "weight_zero_point"] = pack_words(zeros, bits, 0)
        if reordered:
            tensors[m + "weight_g_idx"] = order
        return tensors, values

    weights = int_weights(bits, group, symmetric, "group" if reordered else None)
    return Case(compressed(weights, "pack-quantized"), quantize)


def w8a8():
    def quantize(rng, m, rows, cols):
        codes, scale = rng.integers(-128, 128, (rows, cols)).astype(np.int8), bf16(scales(rng, (rows, 1)) / 10)
        return {m + "weight": codes, m + "weight_scale": as_bf16(scale)}, codes.astype(np.float32) * scale

    return Case(compressed(int_weights(8, None), "int-quantized"), quantize, 160)


def fp4_bytes(codes):
    return (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)


def nvfp4(method):
    def quantize(rng, m, rows, cols):
        codes, local = rng.integers(0, 16, (rows, cols)), rng.integers(40, 80, (rows, cols // 16)).astype(np.uint8)
        whole = np.float32(rng.uniform(0.01, 0.02))
        factor = whole
        if method == "compressed-tensors":
            whole = np.float32(1) / factor
            factor = np.float32(1) / whole
        values = (factor * E4M3[local]).repeat(16, 1) * FP4[codes]
        if method == "modelopt":
            return {m + "weight": fp4_bytes(codes), m + "weight_scale": Typed("F8_E4M3", local),
                    m + "weight_scale_2": whole.reshape(()), m + "input_scale": np.float32(0.5).reshape(())}, values  # fmt: skip
        return {m + "weight_packed": fp4_bytes(codes), m + "weight_scale": Typed("F8_E4M3", local),
                m + "weight_global_scale": whole.reshape(1), m + "input_global_scale": np.ones(1, np.float32)}, values  # fmt: skip

    weights = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True}
    if method == "modelopt":
        # In a file of its own.
        return Case(None, quantize), {"producer": {"name": "modelopt"}, "quantization": {
            "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head"]}}  # fmt: skip
    return Case(compressed(weights, "nvfp4-pack-quantized"), quantize)


def mxfp4_packed():
    def quantize(rng, m, rows, cols):
        codes, scale = rng.integers(0, 16, (rows, cols)), rng.integers(118, 124, (rows, cols // 32)).astype(np.uint8)
        values = FP4[codes] * np.exp2(scale.astype(np.float32) - 127).repeat(32, 1)
        return {m + "weight_packed": fp4_bytes(codes), m + "weight_scale": scale}, values

    weights = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "symmetric": True}
    return Case(compressed(weights, "mxfp4-pack-quantized"), quantize)


def bitsandbytes_4bit(nested):
    def quantize(rng, m, rows, cols):
        codes, n = rng.integers(0, 16, (rows, cols)), rows * cols // 64
        state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [rows, cols]}
        w = m + "weight."
        tensors = {m + "weight": (codes[:, 0::2] << 4 | codes[:, 1::2]).astype(np.uint8).reshape(-1, 1), w + "quant_map": NF4}
        absmax = scales(rng, n) * 5
        if nested:
            map_, inner = np.sort(rng.uniform(-1, 1, 256)).astype(np.float32), scales(rng, -(-n // 256))
            picked = rng.integers(0, 256, n).astype(np.uint8)
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.03125}
            absmax = map_[picked] * inner.repeat(256)[:n] + np.float32(0.03125)
            tensors |= {w + "absmax": picked, w + "nested_absmax": inner, w + "nested_quant_map": map_}
        else:
            tensors[w + "absmax"] = absmax
        tensors[w + "quant_state.bitsandbytes__nf4"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
        return tensors, NF4[codes] * absmax.reshape(rows, cols // 64).repeat(64, 1)

    config = {"quant_method": "bitsandbytes", "_load_in_4bit": True, "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
              "bnb_4bit_use_double_quant": nested, "bnb_4bit_compute_dtype": "bfloat16"}  # fmt: skip
    return Case(config, quantize)


def bitsandbytes_8bit():
    def quantize(rng, m, rows, cols):
        codes, largest = rng.integers(-127, 128, (rows, cols)).astype(np.int8), scales(rng, rows) * 5
        scale = largest / np.float32(127)
        return {m + "weight": codes, m + "SCB": largest, m + "weight_format": np.uint8(0).reshape(())}, (
            codes.astype(np.float32) * scale[:, None]
        )

    return Case({"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}, quantize)


def eetq():
    """As EETQ's preprocessing orders int8 [inputs, outputs], step by step."""

    def quantize(rng, m, rows, cols):
        codes, scale = rng.integers(-127, 128, (rows, cols)), scales(rng, rows).astype(np.float16)
        order = np.array([0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15])  # of each 16 inputs
        permuted = codes.T.reshape(cols // 16, 16, rows)[:, order].reshape(cols, rows)
        tiles = permuted.T.reshape(rows // 2, 2, cols // 64, 64).swapaxes(1, 2)  # two outputs take turns
        moved = (tiles.reshape(-1, 4) + 128)[:, [0, 2, 1, 3]].astype(np.uint8).view(np.int8)
        tensors = {m + "weight": moved.reshape(cols, rows), m + "weight_scales": scale}
        return tensors, codes.astype(np.float32) * scale.astype(np.float32)[:, None]

    return Case({"quant_method": "eetq", "weights": "int8", "modules_to_not_convert": ["lm_head"]}, quantize)


def squeezellm(sparse):
    def quantize(rng, m, rows, cols):
        codes, table = rng.integers(0, 16, (cols, rows)), (rng.normal(0, 0.05, (rows, 16))).astype(np.float16)
        values = table_values = np.take_along_axis(table, codes.T, 1).astype(np.float32)
        tensors = {m + "qweight": pack_words(codes, 4, 0), m + "lookup_table": table}
        if sparse:
            apart = rng.random((rows, cols)) < 0.01
            added = rng.normal(0, 0.2, (rows, cols)).astype(np.float32)
            values = values + added * apart
            tensors[m + "rows"] = np.concatenate([[0], apart.sum(1).cumsum()]).astype(np.int32)
            tensors[m + "cols"], tensors[m + "vals"] = np.nonzero(apart)[1].astype(np.int32), added[apart]
        if sparse and "experts" in m:
            whole = rng.choice(rows, 3, replace=False).astype(np.int32)
            tensors[m + "full_row_indices"] = whole
            tensors[m + "full_rows"] = full = rng.normal(0, 0.2, (cols, 3)).astype(np.float32)
            values[whole] = table_values[whole] + ((added * apart)[whole] + full.T)
        return tensors, values

    return Case({"quant_method": "squeezellm", "wbits": 4}, quantize)


FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
CASES = {
    "fp8-blocks": fp8_blocks("weight_scale_inv", 128, 128, FP8 | {"weight_block_size": [128, 128]}, 160),
    "fp8-tensor": fp8_blocks("weight_scale", None, None, FP8 | {"activation_scheme": "static"}, 160, "scalar"),
    "awq-g64": awq(64),
    "gptq-g128": gptq(4, 128),
    "gptq-v2-g32": gptq(4, 32, added=0, symmetric=True),
    "gptq-act-order": gptq(4, 32, reordered=True),
    "gptq-int8": gptq(8, -1, symmetric=True),
    "gptq-int8-zeros": gptq(8, 64),
    "compressed-int4": packed_ints(4, 32),
    "compressed-int4-zeros": packed_ints(4, 128, symmetric=False),
    "compressed-act-order": packed_ints(4, 32, reordered=True),
    "compressed-int8": packed_ints(8, None),
    "compressed-w8a8": w8a8(),
    "compressed-fp8": fp8_blocks(
        "weight_scale", 1, None,
        compressed({"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}, "float-quantized"), 160, "BF16",
    ),
    "compressed-nvfp4": nvfp4("compressed-tensors"),
    "compressed-mxfp4": mxfp4_packed(),
    "modelopt-fp8": (fp8_blocks("weight_scale", None, None, {}, 160, "one"),
                     {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": None}}),
    "modelopt-nvfp4": nvfp4("modelopt"),
    "bitsandbytes-nf4": bitsandbytes_4bit(False),
    "bitsandbytes-nf4-nested": bitsandbytes_4bit(True),
    "bitsandbytes-int8": bitsandbytes_8bit(),
    "eetq": eetq(),
    "squeezellm": squeezellm(False),
    "squeezellm-sparse": squeezellm(True),
}  # fmt: skip

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, EXPERTS, VOCAB = 128, 2, 1, 64, 2, 48


def model_config(intermediate):
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": False, "bos_token_id": 1, "decoder_sparse_step": 1,
        "eos_token_id": 2, "head_dim": HEAD_DIM, "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": intermediate, "max_position_embeddings": 256, "mlp_only_layers": [],
        "model_type": "qwen3_moe", "moe_intermediate_size": intermediate, "norm_topk_prob": True,
        "num_attention_heads": HEADS, "num_experts": EXPERTS, "num_experts_per_tok": 2, "num_hidden_layers": 1,
        "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "vocab_size": VOCAB,
    }  # fmt: skip


def modules(intermediate):
    layer = "model.layers.0."
    yield layer + "self_attn.q_proj.", HEADS * HEAD_DIM, HIDDEN
    yield layer + "self_attn.k_proj.", KV_HEADS * HEAD_DIM, HIDDEN
    yield layer + "self_attn.v_proj.", KV_HEADS * HEAD_DIM, HIDDEN
    yield layer + "self_attn.o_proj.", HIDDEN, HEADS * HEAD_DIM
    for e in range(EXPERTS):
        yield f"{layer}mlp.experts.{e}.gate_proj.", intermediate, HIDDEN
        yield f"{layer}mlp.experts.{e}.up_proj.", intermediate, HIDDEN
        yield f"{layer}mlp.experts.{e}.down_proj.", HIDDEN, intermediate


def plain_tensors(rng):
    layer = "model.layers.0."
    out = {name: as_bf16(1 + rng.normal(0, 0.1, n)) for name, n in [
        (layer + "input_layernorm.weight", HIDDEN), (layer + "post_attention_layernorm.weight", HIDDEN),
        (layer + "self_attn.q_norm.weight", HEAD_DIM), (layer + "self_attn.k_norm.weight", HEAD_DIM),
        ("model.norm.weight", HIDDEN)]}  # fmt: skip
    for name, shape in [(layer + "mlp.gate.weight", (EXPERTS, HIDDEN)), ("model.embed_tokens.weight", (VOCAB, HIDDEN)),
                        ("lm_head.weight", (VOCAB, HIDDEN))]:  # fmt: skip
        out[name] = as_bf16(rng.normal(0, 0.1, shape))
    return out


def described(values):
    values = np.ascontiguousarray(values, np.float32) + np.float32(0)
    return {"shape": list(values.shape), "sha256": hashlib.sha256(values.tobytes()).hexdigest()}


def write_case(name, case, beside):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    config, tensors, values = model_config(case.intermediate), plain_tensors(rng), {}
    if case.config:
        config["quantization_config"] = case.config
    if beside:
        (folder / "hf_quant_config.json").write_text(json.dumps(beside, indent=1) + "\n")
    for module, rows, cols in modules(case.intermediate):
        stored, values[module + "weight"] = case.quantize(rng, module, rows, cols)
        tensors |= stored
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "values.json").write_text(json.dumps({k: described(v) for k, v in values.items()}, indent=1) + "\n")
    write_safetensors(folder / "model.safetensors", tensors)


def write_gpt_oss():
    """models/gpt-oss with other experts: MXFP4 as it was released."""
    rng, folder = np.random.default_rng(3), OUT / "gpt-oss-mxfp4"
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((DATA / "models/gpt-oss/config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    tensors, values = {}, {}
    for name, array in read_safetensors(DATA / "models/gpt-oss/model.safetensors").items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            tensors[name] = array
            continue
        experts, cols, rows = array.shape
        codes = rng.integers(0, 16, (experts, rows, cols))
        scale = rng.integers(119, 122, (experts, rows, cols // 32)).astype(np.uint8)
        tensors[name + "_blocks"] = fp4_bytes(codes).reshape(experts, rows, cols // 32, 16)
        tensors[name + "_scales"] = scale
        values[name + "_blocks"] = FP4[codes] * np.exp2(scale.astype(np.float32) - 127).repeat(32, 2)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "values.json").write_text(json.dumps({k: described(v) for k, v in values.items()}, indent=1) + "\n")
    write_safetensors(folder / "model.safetensors", tensors)


def main():
    for name, case in CASES.items():
        write_case(name, *(case if isinstance(case, tuple) else (case, None)))
    write_gpt_oss()


if __name__ == "__main__":
    main()
