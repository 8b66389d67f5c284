"""The metadata that llama.cpp's converters write, from config.json. Source: conversion/*.py of ggml-org/llama.cpp."""

import math

import gguf
import numpy as np

# general.architecture by the class that config.json names.
BY_CLASS = {
    "LlamaForCausalLM": "llama", "MistralForCausalLM": "llama", "MixtralForCausalLM": "llama",
    "Ministral3ForCausalLM": "mistral3", "Mistral3ForConditionalGeneration": "mistral4",
    "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3", "Qwen2MoeForCausalLM": "qwen2moe",
    "Qwen3MoeForCausalLM": "qwen3moe", "DeepseekForCausalLM": "deepseek", "DeepseekV2ForCausalLM": "deepseek2",
    "DeepseekV3ForCausalLM": "deepseek2", "Glm4MoeLiteForCausalLM": "deepseek2", "Glm4MoeForCausalLM": "glm4moe",
    "SolarOpenForCausalLM": "glm4moe", "GptOssForCausalLM": "gpt-oss", "GraniteMoeForCausalLM": "granitemoe",
    "GraniteMoeSharedForCausalLM": "granitemoe", "OlmoeForCausalLM": "olmoe", "PhimoeForCausalLM": "phimoe",
    "DbrxForCausalLM": "dbrx", "Dots1ForCausalLM": "dots1", "Ernie4_5_MoeForCausalLM": "ernie4_5-moe",
    "ExaoneMoeForCausalLM": "exaone-moe", "ExaoneMoEForCausalLM": "exaone-moe", "BailingMoeForCausalLM": "bailingmoe",
    "BailingMoeV2ForCausalLM": "bailingmoe2", "MiniMaxM2ForCausalLM": "minimax-m2", "AfmoeForCausalLM": "afmoe",
    "Llama4ForCausalLM": "llama4", "HunYuanMoEV1ForCausalLM": "hunyuan-moe",
}  # fmt: skip
ARCHITECTURES = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
PAIRED_HEADS = {"llama", "mistral3", "deepseek", "granitemoe"}
SIGMOID = {"glm4moe", "exaone-moe", "bailingmoe2", "minimax-m2", "afmoe"}


def regular(config):
    """The text's part, with the keys that further functions read."""
    c = {**config, **config.get("text_config", {})}
    c["architectures"] = config["architectures"]
    if "d_model" in c:  # DBRX
        attention = c["attn_config"]
        c |= {"num_hidden_layers": c["n_layers"], "num_attention_heads": c["n_heads"]}
        c["num_key_value_heads"] = attention["kv_n_heads"]
    if "intermediate_size_mlp" in c:  # Llama 4
        c |= {"moe_intermediate_size": c["intermediate_size"], "intermediate_size": c["intermediate_size_mlp"]}
    return c


def arch_of(c):
    return BY_CLASS[c["architectures"][0]]


def rope(c):
    scaling = c.get("rope_scaling") or {}
    return {**(c.get("rope_parameters") or {}), **scaling, "rope_type": kind_of(c, scaling)}


def kind_of(c, scaling):
    parameters = c.get("rope_parameters") or {}
    return scaling.get("rope_type") or scaling.get("type") or parameters.get("rope_type") or "default"


def first(c, *keys, default=None):
    return next((c[k] for k in keys if c.get(k) is not None), default)


def rope_tensors(c):
    r = rope(c)
    if r["rope_type"] != "llama3":
        return {}
    dim = first(c, "head_dim", default=c["hidden_size"] // c["num_attention_heads"])
    frequencies = r["rope_theta"] ** -(np.arange(0, dim, 2) / dim)
    old = r["original_max_position_embeddings"]
    factors = []
    for wavelength in 2 * math.pi / frequencies:
        if wavelength < old / r["high_freq_factor"]:
            factors.append(1)
        elif wavelength > old / r["low_freq_factor"]:
            factors.append(r["factor"])
        else:
            low, high = r["low_freq_factor"], r["high_freq_factor"]
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / r["factor"] + smooth))
    return {"rope_freqs.weight": np.array(factors, np.float32)}


def add_rope(w, arch, c):
    r = rope(c)
    theta = first(c.get("attn_config", {}) if arch != "dbrx" else {}, "rope_theta")
    theta = theta or (10000.0 if arch == "dbrx" else first(r, "rope_theta", default=c.get("rope_theta", 10000.0)))
    w.add_rope_freq_base(theta)
    if r["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(r["factor"])
        w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])
        if "beta_fast" in r:
            w.add_rope_scaling_yarn_beta_fast(r["beta_fast"])
            w.add_rope_scaling_yarn_beta_slow(r["beta_slow"])
    if "mscale_all_dim" in r:
        w.add_rope_scaling_yarn_log_mul(r["mscale_all_dim"] * (0.1 if arch in ("deepseek2", "mistral4") else 1))
    if "llama_4_scaling_beta" in r:
        w.add_attn_temperature_scale(r["llama_4_scaling_beta"])
    if arch in ("deepseek", "exaone-moe"):
        w.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def add_experts(w, arch, c):
    count = first(c, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    if arch == "dbrx":
        count = c["ffn_config"]["moe_num_experts"]
    if count is None:
        return
    w.add_expert_count(count)
    w.add_expert_used_count(c["ffn_config"]["moe_top_k"] if arch == "dbrx" else
                            first(c, "num_experts_per_tok", "moe_k", "moe_topk"))  # fmt: skip
    if arch in ("gpt-oss", "minimax-m2"):
        w.add_expert_feed_forward_length(c["intermediate_size"])
    elif "moe_intermediate_size" in c:
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    shared = first(c, "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
    if arch == "hunyuan-moe":
        shared = shared or 1
        w.add_expert_feed_forward_length(c["intermediate_size"])
    if shared is not None:
        w.add_expert_shared_count(shared)
    width = first(c, "shared_expert_intermediate_size", "shared_intermediate_size")
    if width and arch in ("qwen2moe", "granitemoe"):
        w.add_expert_shared_feed_forward_length(width)
    norm = first(c, "norm_topk_prob", "route_norm")
    if norm is not None and arch in SIGMOID | {"deepseek2", "dots1", "bailingmoe", "mistral4"}:
        w.add_expert_weights_norm(norm)
    scale = first(c, "routed_scaling_factor", "route_scale")
    if scale is not None:
        w.add_expert_weights_scale(scale)
    if c.get("n_group") is not None:
        w.add_expert_group_count(c["n_group"])
        w.add_expert_group_used_count(c["topk_group"])
    sigmoid = arch in SIGMOID or c["architectures"][0] in ("DeepseekV3ForCausalLM", "Glm4MoeLiteForCausalLM")
    if sigmoid or c.get("scoring_func") == "softmax":
        kinds = gguf.ExpertGatingFuncType
        w.add_expert_gating_func(kinds.SIGMOID if sigmoid else kinds.SOFTMAX)
    dense = first(c, "first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
    if dense is not None:
        w.add_leading_dense_block_count(dense)
    step = first(c, "moe_layer_interval", "interleave_moe_layer_step")
    if step is not None:
        w.add_interleave_moe_layer_step(step)


def add_heads(w, arch, c):
    w.add_head_count(c["num_attention_heads"])
    head = first(c, "head_dim", default=first(c, "hidden_size", "d_model") // c["num_attention_heads"])
    if "kv_lora_rank" in c:
        w.add_head_count_kv(1)
        if c.get("q_lora_rank"):
            w.add_q_lora_rank(c["q_lora_rank"])
        w.add_kv_lora_rank(c["kv_lora_rank"])
        w.add_key_length(c["kv_lora_rank"] + c["qk_rope_head_dim"])
        w.add_value_length(c["kv_lora_rank"])
        w.add_key_length_mla(c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
        w.add_value_length_mla(c["v_head_dim"])
        w.add_rope_dimension_count(c["qk_rope_head_dim"])
        return
    w.add_head_count_kv(first(c, "num_key_value_heads", default=c["num_attention_heads"]))
    if c.get("head_dim") and arch != "granitemoe":
        w.add_key_length(head)
        w.add_value_length(head)
    share = first(c, "partial_rotary_factor", default=rope(c).get("partial_rotary_factor", 1))
    w.add_rope_dimension_count(c["rotary_dim"] if "rotary_dim" in c else int(head * share))


def add_windows(w, arch, c):
    window = c.get("sliding_window")
    if window and arch in ("gpt-oss", "exaone-moe", "afmoe"):
        w.add_sliding_window(window)
        if arch != "gpt-oss":
            w.add_sliding_window_pattern([t == "sliding_attention" for t in c["layer_types"]])


def add(w, arch, c):
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(first(c, "max_position_embeddings", "max_seq_len"))
    w.add_embedding_length(first(c, "hidden_size", "d_model"))
    w.add_feed_forward_length(c["ffn_config"]["ffn_hidden_size"] if arch == "dbrx" else c["intermediate_size"])
    w.add_vocab_size(c["vocab_size"])
    if arch == "dbrx":
        w.add_layer_norm_eps(1e-5)
        w.add_clamp_kqv(c["attn_config"]["clip_qkv"])
    else:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if arch == "granitemoe":
        w.add_attention_scale(c["attention_multiplier"])
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    add_heads(w, arch, c)
    add_windows(w, arch, c)
    add_rope(w, arch, c)
    add_experts(w, arch, c)
