#!/usr/bin/env python3
"""Writes tests/conformance/data/gguf: the checkpoint models/qwen2-moe as GGUF, by the writer of llama.cpp's project.

    pip install -r tools/requirements.txt && tools/make_gguf_cases.py

qwen2-moe-f16.gguf holds the checkpoint's own values, qwen2-moe-q8_0.gguf the same in Q8_0 where rows are whole blocks.
Both carry a tokenizer: that of tokenizers/qwen2 cut to the model's vocabulary, which is also written as
tokenizer.json. q8_0.json holds values of some tensors as the writer's own decoder unpacks them.
"""

import json
import pathlib
import struct

import gguf
import numpy as np

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data"
MODEL = DATA / "models/qwen2-moe"
OUT = DATA / "gguf"

# Of a layer: transformers' name -> GGUF's. Experts are stacked apart.
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
}
MODEL_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
EXPERTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}


def read_safetensors(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    types = {"F32": np.float32, "F16": np.float16}
    out = {}
    for name, info in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + begin : 8 + n + end], types[info["dtype"]]).reshape(info["shape"])
    return out


def renamed(tensors, config):
    out = {gguf_name: tensors[name] for name, gguf_name in MODEL_NAMES.items()}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, gguf_name in LAYER.items():
            value = tensors[prefix + name]
            # A matrix of one row is written as a vector, as llama.cpp's converter does.
            out[f"blk.{layer}.{gguf_name}"] = value[0] if name == "mlp.shared_expert_gate.weight" else value
        for name, gguf_name in EXPERTS.items():
            parts = [tensors[f"{prefix}mlp.experts.{e}.{name}.weight"] for e in range(config["num_experts"])]
            out[f"blk.{layer}.{gguf_name}.weight"] = np.stack(parts)
    return out


def cut_tokenizer(vocab_size):
    """tokenizers/qwen2 with the ids below vocab_size, and the merges that make one of them."""
    tokenizer = json.loads((DATA / "tokenizers/qwen2/tokenizer.json").read_text())
    model = tokenizer["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < vocab_size}
    model["merges"] = [pair for pair in model["merges"] if all(t in model["vocab"] for t in (*pair, "".join(pair)))]
    return tokenizer


def add_tokenizer(writer, tokenizer, config):
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    by_id = {i: token for token, i in tokenizer["model"]["vocab"].items()} | special
    types = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([by_id[i] for i in range(config["vocab_size"])])
    writer.add_token_types([types.CONTROL if i in special else types.NORMAL for i in range(config["vocab_size"])])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((DATA / "chat_templates/turns_tools.jinja").read_text())


def add_config(writer, config, file_type):
    writer.add_file_type(file_type)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_expert_count(config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])


def stored(name, value, packed):
    """(bytes, type), as llama.cpp chooses: vectors and routers in F32, rows of no whole blocks in F16."""
    if value.ndim == 1 or "ffn_gate_inp" in name:
        return value.astype(np.float32), None
    if packed and value.shape[-1] % 32 == 0:
        kind = gguf.GGMLQuantizationType.Q8_0
        return gguf.quants.quantize(value.astype(np.float32), kind), kind
    return value.astype(np.float16), None


def write(path, tensors, config, tokenizer, packed):
    writer = gguf.GGUFWriter(path, "qwen2moe")
    add_config(writer, config, gguf.LlamaFileType.MOSTLY_Q8_0 if packed else gguf.LlamaFileType.MOSTLY_F16)
    add_tokenizer(writer, tokenizer, config)
    samples = {}
    for name, value in tensors.items():
        data, kind = stored(name, value, packed)
        writer.add_tensor(name, data, raw_dtype=kind)
        if kind is not None:
            values = gguf.quants.dequantize(data, kind).reshape(-1)
            samples[name] = [float(v) for v in (*values[:4], *values[-4:])]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return samples


def main():
    OUT.mkdir(exist_ok=True)
    config = json.loads((MODEL / "config.json").read_text())
    tensors = renamed(read_safetensors(MODEL / "model.safetensors"), config)
    tokenizer = cut_tokenizer(config["vocab_size"])
    (OUT / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n")
    write(OUT / "qwen2-moe-f16.gguf", tensors, config, tokenizer, packed=False)
    samples = write(OUT / "qwen2-moe-q8_0.gguf", tensors, config, tokenizer, packed=True)
    (OUT / "q8_0.json").write_text(json.dumps(samples, indent=1) + "\n")


if __name__ == "__main__":
    main()
