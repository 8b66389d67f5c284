#!/usr/bin/env python3
"""Converts a model directory to GGUF: for tests, and for the demo models.

    pip install -r tools/requirements.txt
    tools/make_gguf.py models/polymath-demo demo.gguf --type Q8_0 --pre starcoder

--type is F32, F16, BF16, or a packed type; "Q4_K,attn_v=Q6_K" makes an exception; "random:TYPE" fills packed tensors with
random blocks, for types that have no packer here. Rows that are no whole blocks go to Q8_0, or to F16. --parts N writes N files. Tensor names are those of
the gguf package, so they test our own table.
"""

import argparse
import json
import pathlib
import re
import struct
import sys

import gguf
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gguf_metadata  # noqa: E402
import gguf_packing  # noqa: E402
import gguf_tokenizers  # noqa: E402

EXPERTS = {"w1": "gate", "w2": "down", "w3": "up", "gate_proj": "gate", "down_proj": "down", "up_proj": "up"}


def bfloat16(data):
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def read_safetensors(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    read = {"F32": lambda b: np.frombuffer(b, np.float32), "BF16": bfloat16}
    read["F16"] = lambda b: np.frombuffer(b, np.float16).astype(np.float32)
    out = {}
    for name, info in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            begin, end = (8 + n + at for at in info["data_offsets"])
            out[name] = read[info["dtype"]](data[begin:end]).reshape(info["shape"])
    return out


def read_tensors(directory):
    out = {}
    for path in sorted(directory.glob("*.safetensors")):
        if path.name != "reference.safetensors":
            out |= read_safetensors(path)
    return out


def paired(value, heads):
    """The rows of a head's halves side by side."""
    shape = value.shape
    return value.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def stacked(tensors):
    """Experts of one tensor each become one tensor for all; the names are the gguf package's own for stacks."""
    out, groups = {}, {}
    for name, value in tensors.items():
        match = re.match(r"(.*)experts\.(\d+)\.(\w+)\.weight$", name)
        if match:
            groups.setdefault((match[1], EXPERTS[match[3]]), {})[int(match[2])] = value
        else:
            out[name] = value
    for (prefix, part), experts in groups.items():
        layer = re.search(r"\d+", prefix)[0]
        out[f"blk.{layer}.ffn_{part}_exps.weight"] = np.stack([experts[i] for i in range(len(experts))])
    return out


def split_rows(value, sizes):
    return np.split(value, np.cumsum(sizes)[:-1], axis=-2 if value.ndim > 1 else 0)


def joined_parts(name, value, layer, c):
    """Tensors that hold several of GGUF's: (name, value) pairs, or None."""
    b = f"blk.{layer}."
    if name.endswith("input_linear.weight"):  # Granite
        kind = "shexp" if "shared_mlp" in name else "exps"
        gate, up = np.split(value, 2, axis=-2)
        return [(f"{b}ffn_gate_{kind}.weight", gate), (f"{b}ffn_up_{kind}.weight", up)]
    if name.endswith("experts.gate_up_proj"):  # transposed; gpt-oss alternates gate and up
        value = value.swapaxes(1, 2)
        gate, up = (value[:, ::2], value[:, 1::2]) if c["model_type"] == "gpt_oss" else np.split(value, 2, axis=1)
        return [(b + "ffn_gate_exps.weight", gate), (b + "ffn_up_exps.weight", up)]
    if name.endswith("experts.gate_up_proj_bias"):
        return [(b + "ffn_gate_exps.bias", value[:, ::2]), (b + "ffn_up_exps.bias", value[:, 1::2])]
    if name.endswith("experts.down_proj"):
        return [(b + "ffn_down_exps.weight", value.swapaxes(1, 2))]
    if name.endswith("experts.down_proj_bias"):
        return [(b + "ffn_down_exps.bias", value)]
    if "ffn.experts.mlp." in name:  # DBRX
        part = {"w1": "gate", "v1": "up", "w2": "down"}[name.split(".")[-1]]
        value = value.reshape(c["ffn_config"]["moe_num_experts"], -1, value.shape[-1])
        return [(f"{b}ffn_{part}_exps.weight", value.swapaxes(1, 2) if part == "down" else value)]
    if name.endswith("query_key_value.weight") and c["architectures"] == ["BailingMoeForCausalLM"]:
        heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
        dim = value.shape[0] // (heads + 2 * kv)
        q, k, v = split_rows(value, [heads * dim, kv * dim, kv * dim])
        return [(b + "attn_q.weight", paired(q, heads)), (b + "attn_k.weight", paired(k, kv)), (b + "attn_v.weight", v)]
    if name.endswith("kv_b_proj.weight"):
        heads = c["num_attention_heads"]
        whole = value.reshape(heads, c["qk_nope_head_dim"] + c["v_head_dim"], -1)
        keys, values = whole[:, : c["qk_nope_head_dim"]], whole[:, c["qk_nope_head_dim"] :]
        return [(b + "attn_k_b.weight", keys.swapaxes(1, 2)), (b + "attn_v_b.weight", values)]
    return None


def layer_of(name):
    match = re.search(r"(?:layers|blocks|blk)\.(\d+)\.", name)
    return int(match[1]) if match else None


def renamed(tensors, arch, c):
    names = gguf.get_tensor_name_map(gguf_metadata.ARCHITECTURES[arch], c["num_hidden_layers"])
    out = {}
    for name, value in stacked(tensors).items():
        name = name.replace("model.language_model.", "model.")
        if name.startswith("model.vision"):
            continue
        layer = layer_of(name)
        parts = joined_parts(name, value, layer, c)
        if parts:
            out |= dict(parts)
            continue
        if arch in gguf_metadata.PAIRED_HEADS and re.search(r"\.[qk]_proj\.", name):
            heads = c["num_attention_heads"] if ".q_proj." in name else c["num_key_value_heads"]
            value = paired(value, heads)
        if name.endswith(("e_score_correction_bias", "expert_bias")):
            out[f"blk.{layer}.exp_probs_b.bias"] = value.reshape(-1)
            continue
        if name.endswith(".sinks"):
            name += ".weight"
        mapped = name if name.startswith("blk.") else names.get_name(name, try_suffixes=(".weight", ".bias"))
        if mapped is None:
            raise SystemExit(f"no name for {name}")
        out[mapped] = value[0] if mapped.endswith("ffn_gate_inp_shexp.weight") else value
    if c.get("tie_word_embeddings"):
        out.pop("output.weight", None)
    return out


def stored(name, value, kind):
    """(bytes, type), as llama.cpp chooses: vectors, routers and small tensors in F32."""
    if value.ndim == 1 or "ffn_gate_inp" in name or name.endswith(".bias"):
        return value.astype(np.float32), None
    kind, *exceptions = kind.split(",")
    for exception in exceptions:
        part, other = exception.split("=")
        kind = other if part in name else kind
    return gguf_packing.pack(value, kind, seed=sum(name.encode()))


def write(out, directory, kind, pre, parts):
    config = json.loads((directory / "config.json").read_text())
    c = gguf_metadata.regular(config)
    arch = gguf_metadata.arch_of(c)
    tensors = renamed(read_tensors(directory), arch, c)
    most = (len(tensors) + parts - 1) // parts if parts > 1 else 0
    writer = gguf.GGUFWriter(out, arch, split_max_tensors=most)
    gguf_metadata.add(writer, arch, c)
    for name, value in gguf_metadata.rope_tensors(c).items():
        writer.add_tensor(name, value)
    gguf_tokenizers.add(writer, directory, c, pre)
    for name, value in tensors.items():
        data, raw = stored(name, value, kind)
        writer.add_tensor(name, data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", default="F32")
    parser.add_argument("--pre", default="", help="tokenizer.ggml.pre; empty: no tokenizer")
    parser.add_argument("--parts", type=int, default=1)
    arguments = parser.parse_args()
    write(arguments.out, arguments.directory, arguments.type, arguments.pre, arguments.parts)


if __name__ == "__main__":
    main()
