#!/usr/bin/env python3
"""Makes the tiny Qwen3-Next checkpoint of tests/conformance and its reference outputs, with transformers (5.17).

    python3 tools/make_qwen3_next.py DIRECTORY

Random bf16 weights; the reference is computed in float32 from exactly these, with eager attention.
"""

import json
import sys
from pathlib import Path

import torch
from make_architectures import references
from safetensors.torch import save_file
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM


def config():
    return Qwen3NextConfig(
        vocab_size=320, hidden_size=64, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=2048, rms_norm_eps=1e-5, bos_token_id=1,
        eos_token_id=2, pad_token_id=0, tie_word_embeddings=False, moe_intermediate_size=48,
        shared_expert_intermediate_size=48, num_experts=8, num_experts_per_tok=3, norm_topk_prob=True,
        decoder_sparse_step=1, mlp_only_layers=[], linear_conv_kernel_dim=4, linear_key_head_dim=16,
        linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
        layer_types=["linear_attention", "linear_attention", "full_attention", "linear_attention"])


def randomize(model):
    generator = torch.Generator().manual_seed(7)
    for name, p in model.named_parameters():
        scale = 0.3 if "norm" in name or "A_log" in name or "dt_bias" in name else p.shape[-1] ** -0.5
        noise = torch.randn(p.shape, generator=generator) * scale
        base = 1.0 if name.endswith("linear_attn.norm.weight") else 0.0
        p.data = (base + noise).to(torch.bfloat16)


def main(directory):
    out = Path(directory)
    out.mkdir(parents=True, exist_ok=True)
    model = Qwen3NextForCausalLM._from_config(config(), attn_implementation="eager")
    randomize(model)
    model.to(torch.bfloat16).save_pretrained(out)
    model = Qwen3NextForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    save_file(references(model, 320), out / "reference.safetensors")
    print(json.dumps({k: list(v.shape) for k, v in model.state_dict().items()}, indent=0))


if __name__ == "__main__":
    main(sys.argv[1])
