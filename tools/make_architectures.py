#!/usr/bin/env python3
"""Makes tiny checkpoints of tests/conformance, and their reference outputs, with transformers (5.24).

    python3 tools/make_architectures.py tests/conformance/data/models [NAME...]

Each config has the keys that published models have, and each tensor its published name. Random bf16 weights; the
reference is computed in float32 from exactly these, with eager attention. Where transformers has no class, another
class with the same formulas stands in, or `Ling` below. The same version of torch gives the same weights.
"""

import json
import re
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

PROMPT_LENGTHS = (1, 17, 130)
LOGIT_ROWS_MAX = 130  # a longer prompt keeps its last 8 rows
GREEDY = 24

SMALL = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "hidden_act": "silu", "rms_norm_eps": 1e-5,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
          "num_key_value_heads": 4}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 32,
        "beta_fast": 32.0, "beta_slow": 1.0}


class Ling(torch.nn.Module):
    """Ling before 2.0 (BailingMoeForCausalLM), from its published formulas: Llama's attention with q, k and v in one
    matrix; softmax over all experts, the best normalised; a shared expert in every layer."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        linear = lambda rows, cols: torch.nn.Linear(cols, rows, bias=False)
        hidden, dim = c["hidden_size"], c["head_dim"]
        kv = 2 * c["num_key_value_heads"]
        glu = lambda width: torch.nn.ModuleDict({
            "gate_proj": linear(width, hidden), "up_proj": linear(width, hidden), "down_proj": linear(hidden, width)})
        norm = lambda: torch.nn.RMSNorm(hidden, eps=c["rms_norm_eps"])
        width = c["moe_intermediate_size"]
        self.model = torch.nn.ModuleDict({
            "word_embeddings": torch.nn.Embedding(c["vocab_size"], hidden),
            "layers": torch.nn.ModuleList(torch.nn.ModuleDict({
                "input_layernorm": norm(),
                "attention": torch.nn.ModuleDict({
                    "query_key_value": linear((c["num_attention_heads"] + kv) * dim, hidden),
                    "dense": linear(hidden, c["num_attention_heads"] * dim)}),
                "post_attention_layernorm": norm(),
                "mlp": torch.nn.ModuleDict({
                    "gate": linear(c["num_experts"], hidden),
                    "experts": torch.nn.ModuleList(glu(width) for _ in range(c["num_experts"])),
                    "shared_experts": glu(width * c["num_shared_experts"])}),
            }) for _ in range(c["num_hidden_layers"])),
            "norm": norm(),
        })
        self.lm_head = linear(c["vocab_size"], hidden)

    def attention(self, layer, x):
        c, n = self.c, x.shape[0]
        heads, kv_heads, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        q, k, v = layer["query_key_value"](x).view(n, -1, dim).split([heads, kv_heads, kv_heads], dim=1)
        angles = torch.outer(torch.arange(n).float(), c["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim))
        cos, sin = (f(torch.cat([angles, angles], dim=-1))[:, None] for f in (torch.cos, torch.sin))
        rotate = lambda t: t * cos + torch.cat([-t[..., dim // 2:], t[..., :dim // 2]], dim=-1) * sin
        q, k = rotate(q), rotate(k).repeat_interleave(heads // kv_heads, dim=1)
        v = v.repeat_interleave(heads // kv_heads, dim=1)
        scores = torch.einsum("qhd,khd->hqk", q, k) * dim ** -0.5
        scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf")).softmax(-1)
        return layer["dense"](torch.einsum("hqk,khd->qhd", scores, v).reshape(n, -1))

    def feed_forward(self, layer, x):
        glu = lambda f, t: f["down_proj"](torch.nn.functional.silu(f["gate_proj"](t)) * f["up_proj"](t))
        weights, chosen = layer["gate"](x).softmax(-1).topk(self.c["num_experts_per_tok"], dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = glu(layer["shared_experts"], x)
        for row in range(x.shape[0]):
            for weight, expert in zip(weights[row], chosen[row]):
                out[row] += weight * glu(layer["experts"][int(expert)], x[row])
        return out

    def forward(self, ids, **_):
        h = self.model["word_embeddings"](ids[0])
        for layer in self.model["layers"]:
            h = h + self.attention(layer["attention"], layer["input_layernorm"](h))
            h = h + self.feed_forward(layer["mlp"], layer["post_attention_layernorm"](h))
        logits = self.lm_head(self.model["norm"](h))[None]
        return type("Output", (), {"logits": logits})


def unfuse(tensors, names=("gate_proj", "up_proj", "down_proj")):
    """experts.gate_up_proj [E, 2I, H] and down_proj [E, H, I] as a tensor an expert."""
    gate, up, down = names
    out = {}
    for name, t in tensors.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            out[name] = t
            continue
        base, kind = name.rsplit(".", 1)
        for e, expert in enumerate(t):
            parts = {down: expert} if kind == "down_proj" else dict(zip((gate, up), expert.chunk(2)))
            out.update({f"{base}.{e}.{part}.weight": p.contiguous() for part, p in parts.items()})
    return out


def renamed(*rules):
    def names(tensors, _):
        out = {}
        for name, t in unfuse(tensors).items():
            for old, new in rules:
                name = re.sub(old, new, name)
            out[name] = t
        return out
    return names


def mixtral_names(tensors, _):
    out = {}
    for name, t in unfuse(tensors, ("w1", "w3", "w2")).items():
        out[name.replace(".mlp.", ".block_sparse_moe.")] = t
    return out


def thinker_names(tensors, _):
    """Qwen3-Omni's, with a tensor of each part that is not the text's."""
    text = {n: t for n, t in unfuse(tensors).items() if not n.startswith(("model.audio_tower", "model.visual"))}
    out = {"thinker." + n.replace("model.language_model.", "model."): t for n, t in text.items()}
    for other in ("thinker.audio_tower.ln_post.bias", "thinker.visual.pos_embed.weight", "talker.model.norm.weight",
                  "code2wav.pre_transformer.norm.weight"):
        out[other] = torch.zeros(4, dtype=torch.bfloat16)
    return out


def ling2_names(tensors, _):
    out = renamed((r"embed_tokens", "word_embeddings"), (r"self_attn\.o_proj", "attention.dense"),
                  (r"self_attn\.q_norm", "attention.query_layernorm"), (r"self_attn\.k_norm", "attention.key_layernorm"),
                  (r"e_score_correction_bias", "expert_bias"))(tensors, None)
    for name in [n for n in out if n.endswith("q_proj.weight")]:
        qkv = [out.pop(name.replace("q_proj", p)) for p in ("q_proj", "k_proj", "v_proj")]
        out[name.replace("self_attn.q_proj", "attention.query_key_value")] = torch.cat(qkv)
    return out


def with_prefix(prefix, vision):
    """A multimodal model's names, and a tensor of its other part."""
    def names(tensors, _):
        out = {prefix(name): t for name, t in unfuse(tensors).items()}
        out[vision] = torch.zeros(4, dtype=torch.bfloat16)
        return out
    return names


# Mistral rotates neighbouring elements of a head. Others rotate halves, and their q and k are reordered.
def neighbours(t, heads):
    return t.view(heads, 2, -1, t.shape[-1]).transpose(1, 2).reshape(t.shape).contiguous()


def mistral_names(moe):
    rules = [(r"^model\.embed_tokens", "tok_embeddings"), (r"^lm_head", "output"), (r"^model\.", ""),
             (r"input_layernorm", "attention_norm"), (r"post_attention_layernorm", "ffn_norm"),
             (r"self_attn\.([qkvo])_proj", r"attention.w\1"), (r"self_attn\.q_([ab])_proj", r"attention.wq_\1"),
             (r"self_attn\.kv_a_proj_with_mqa", "attention.wkv_a_with_mqa"), (r"self_attn\.kv_b_proj", "attention.wkv_b"),
             (r"self_attn\.(q|kv)_a_layernorm", r"attention.\1_a_norm"),
             (r"mlp\.(experts|shared_experts|gate\.)", moe + r"\1"), (r"mlp\.", "feed_forward."),
             (r"gate_proj", "w1"), (r"down_proj", "w2"), (r"up_proj", "w3")]

    def names(tensors, config):
        out = renamed(*rules)(tensors, config)
        for name, t in out.items():
            if name.endswith(("attention.wq.weight", "attention.wk.weight")):
                out[name] = neighbours(t, config.num_attention_heads if "wq" in name else config.num_key_value_heads)
        return out
    return names


GLM = SMALL | {"moe_intermediate_size": 8, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
               "n_group": 1, "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.5}
MISTRAL4 = GLM | LATENT | {"first_k_dense_replace": 1, "routed_scaling_factor": 1.0}

# name: (reference class, the config it is made with, the published config if it differs, names of the tensors)
CASES = {
    "glm4-moe-lite": dict(cls="Glm4MoeLiteForCausalLM", names=renamed(), config=GLM | LATENT | {
        "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "mlp_layer_types": ["sparse", "dense"], "attention_bias": False, "topk_method": "noaux_tc",
        "partial_rotary_factor": 1.0, "rope_scaling": None, "rope_theta": 1000000, "num_nextn_predict_layers": 1}),
    "dots1": dict(cls="Dots1ForCausalLM", names=renamed(), config=GLM | {
        "architectures": ["Dots1ForCausalLM"], "model_type": "dots1", "head_dim": 8, "attention_bias": False,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "scoring_func": "noaux_tc", "rope_scaling": None,
        "rope_theta": 10000000, "sliding_window": None, "max_window_layers": 2, "use_cache": True}),
    "solar-open": dict(cls="SolarOpenForCausalLM", names=renamed(), config=GLM | {
        "architectures": ["SolarOpenForCausalLM"], "model_type": "solar_open", "head_dim": 8,
        "first_k_dense_replace": 0, "partial_rotary_factor": 1.0, "use_qk_norm": False, "attention_bias": False,
        "rope_theta": 1000000, "num_nextn_predict_layers": 0,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}),
    "hy-v3": dict(cls="HYV3ForCausalLM", names=renamed(
        (r"mlp\.gate\.weight", "mlp.router.gate.weight"), (r"mlp\.e_score_correction_bias", "mlp.expert_bias"),
        (r"mlp\.shared_experts\.", "mlp.shared_mlp.")), config=SMALL | {
        "architectures": ["HYV3ForCausalLM"], "model_type": "hy_v3", "head_dim": 8, "moe_intermediate_size": 8,
        "num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 1, "first_k_dense_replace": 1,
        "router_scaling_factor": 2.826, "route_norm": True, "qk_norm": True, "moe_router_use_sigmoid": True,
        "moe_router_enable_expert_bias": True, "enable_attention_fp32_softmax": True,
        "enable_lm_head_fp32": True, "enable_moe_fp32_combine": False, "use_grouped_mm": False,
        "num_nextn_predict_layers": 1,
        "rope_parameters": {"rope_theta": 11158840.0, "rope_type": "default"}}),
    "kimi-k25": dict(cls="DeepseekV3ForCausalLM", config=GLM | LATENT | {
        "first_k_dense_replace": 1, "n_routed_experts": 4, "moe_layer_freq": 1, "ep_size": 1, "seq_aux": True,
        "scoring_func": "sigmoid", "topk_method": "noaux_tc", "attention_bias": False, "aux_loss_alpha": 0.001,
        "num_nextn_predict_layers": 0, "pretraining_tp": 1, "rope_theta": 50000.0, "model_type": "kimi_k2",
        "rope_scaling": {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "beta_fast": 32.0,
                         "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0},
        "architectures": ["DeepseekV3ForCausalLM"]},
        published=lambda c: {"architectures": ["KimiK25ForConditionalGeneration"], "model_type": "kimi_k25",
                             "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "ignore_index": -100,
                             "media_placeholder_token_id": 47, "tie_word_embeddings": False, "text_config": c,
                             "use_unified_vision_chunk": True, "video_placeholder": "<|video|>",
                             "vision_config": {"hidden_size": 8}, "dtype": "bfloat16"},
        names=with_prefix(lambda n: "language_model." + n, "vision_tower.patch_embed.proj.bias")),
    "qwen3-omni": dict(cls="Qwen3OmniMoeThinkerForConditionalGeneration", names=thinker_names, config=SMALL | {
        "model_type": "qwen3_omni_moe_text", "head_dim": 8, "moe_intermediate_size": 8, "num_experts": 4,
        "num_experts_per_tok": 2, "norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "attention_bias": False, "sliding_window": None, "use_sliding_window": False, "rope_theta": 1000000,
        "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1], "interleaved": True,
                         "mrope_interleaved": True}},
        reference=lambda c: {
            "text_config": c | {"rope_scaling": {k: v for k, v in c["rope_scaling"].items() if k != "interleaved"}},
            "vision_config": {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2,
                              "out_hidden_size": 32, "num_position_embeddings": 4, "deepstack_visual_indexes": [0]},
            "audio_config": {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8, "d_model": 8,
                             "output_dim": 32, "downsample_hidden_size": 4}},
        published=lambda c: {"architectures": ["Qwen3OmniMoeForConditionalGeneration"],
                             "model_type": "qwen3_omni_moe", "enable_audio_output": True, "im_start_token_id": 1,
                             "im_end_token_id": 2, "system_token_id": 5, "user_token_id": 6, "assistant_token_id": 7,
                             "dtype": "bfloat16", "talker_config": {"num_code_groups": 16},
                             "code2wav_config": {"hidden_size": 8},
                             "thinker_config": {"model_type": "qwen3_omni_moe_thinker", "text_config": c,
                                                "audio_config": {"d_model": 8}, "vision_config": {"depth": 1},
                                                "position_id_per_seconds": 13, "image_token_id": 8,
                                                "video_token_id": 9, "audio_token_id": 10}}),
    "mellum": dict(cls="MellumForCausalLM", names=renamed(), config=SMALL | {
        "architectures": ["MellumForCausalLM"], "model_type": "mellum", "head_dim": 8,
        "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True,
        "sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"],
        "mlp_layer_types": ["sparse", "dense"], "attention_bias": False,
        "rope_parameters": {
            "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 4.0,
                               "original_max_position_embeddings": 64},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "minimax-m2": dict(cls="MiniMaxM2ForCausalLM", names=mixtral_names, config=SMALL | {
        "architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2", "head_dim": 8, "rotary_dim": 4,
        "intermediate_size": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_theta": 5000000,
        "attn_type_list": [1, 1], "use_qk_norm": True, "qk_norm_type": "per_layer", "scoring_func": "sigmoid",
        "use_routing_bias": True, "shared_intermediate_size": 0, "num_mtp_modules": 3, "mtp_transformer_layers": 1,
        "use_mtp": True}),
    "mistral4": dict(cls="Mistral4ForCausalLM", config=MISTRAL4 | {
        "model_type": "mistral4", "attention_bias": False, "rope_interleave": True, "rope_parameters": YARN | {
            "type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
            "max_position_embeddings": 512, "partial_rotary_factor": 0.5}},
        published=lambda c: {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3",
                             "image_token_index": 10, "projector_hidden_act": "gelu", "text_config": c,
                             "spatial_merge_size": 2, "multimodal_projector_bias": False,
                             "vision_feature_layer": -1, "vision_config": {"model_type": "pixtral"},
                             "tie_word_embeddings": False, "dtype": "bfloat16"},
        names=with_prefix(lambda n: n if n.startswith("lm_head") else n.replace("model.", "model.language_model.", 1),
                          "model.vision_tower.ln_pre.weight")),
    "mistral-large-3": dict(cls="Mistral4ForCausalLM", names=mistral_names(""), format="params", config=MISTRAL4 | {
        "rope_parameters": YARN | {"attention_factor": 1.0, "llama_4_scaling_beta": 0.1,
                                   "partial_rotary_factor": 0.5}},
        published=lambda c: {
            "dim": 32, "n_layers": 2, "head_dim": 16, "hidden_dim": 24, "n_heads": 4, "n_kv_heads": 4,
            "rope_theta": 10000.0, "norm_eps": 1e-5, "vocab_size": 48, "tied_embeddings": False,
            "max_position_embeddings": 512, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
            "kv_lora_rank": 16, "v_head_dim": 8,
            "llama_4_scaling": {"original_max_position_embeddings": 32, "beta": 0.1},
            "moe": {"expert_parallel": 1, "expert_model_parallel": 1, "route_every_n": 1, "first_k_dense_replace": 1,
                    "num_experts": 4, "num_experts_per_tok": 2, "num_expert_groups": 1,
                    "num_expert_groups_per_tok": 1, "routed_scale": 1.0, "expert_hidden_dim": 8,
                    "num_shared_experts": 1},
            "yarn": {"original_max_position_embeddings": 32, "factor": 8, "apply_scale": False, "beta": 32,
                     "alpha": 1}}),
    "mixtral-params": dict(cls="MixtralForCausalLM", names=mistral_names("feed_forward."), format="params",
                           config=SMALL | {"head_dim": 8, "intermediate_size": 8, "num_local_experts": 4, "num_experts_per_tok": 2,
                                           "rope_theta": 1000000.0},
                           published=lambda c: {
                               "dim": 32, "n_layers": 2, "head_dim": 8, "hidden_dim": 8, "n_heads": 4,
                               "n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": 48, "rope_theta": 1000000.0,
                               "moe": {"num_experts": 4, "num_experts_per_tok": 2}}),
    "ministral3": dict(cls="Ministral3ForCausalLM", names=renamed(), config=SMALL | {
        "architectures": ["Ministral3ForCausalLM"], "model_type": "ministral3", "head_dim": 8, "sliding_window": None,
        "rope_parameters": YARN | {"type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0,
                                   "llama_4_scaling_beta": 0.1}}),
    "exaone-moe": dict(cls="ExaoneMoeForCausalLM", names=renamed(
        (r"gate\.e_score_correction_bias", "e_score_correction_bias")), config=SMALL | {
        "architectures": ["ExaoneMoEForCausalLM"], "model_type": "exaone_moe", "head_dim": 8,
        "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 1,
        "first_k_dense_replace": 1, "is_moe_layer": [False, True], "n_group": 2, "topk_group": 1,
        "norm_topk_prob": True, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
        "rope_theta": 1000000, "rope_scaling": None, "sliding_window": 24, "sliding_window_pattern": "LG",
        "layer_types": ["sliding_attention", "full_attention"], "num_nextn_predict_layers": 1}),
    "bailing-moe": dict(cls=Ling, names=renamed(), config=SMALL | {
        "architectures": ["BailingMoeForCausalLM"], "model_type": "bailing_moe", "head_dim": 8,
        "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 2,
        "norm_topk_prob": True, "first_k_dense_replace": 0, "use_qkv_bias": False, "use_bias": False,
        "norm_head": False, "norm_softmax": False, "embedding_dropout": 0.0, "output_dropout": 0.0,
        "rope_theta": 600000, "rope_scaling": None, "use_sliding_window": False, "sliding_window": 4096,
        "max_window_layers": 28, "multi_gate": False}),
    "bailing-moe-v2": dict(cls="Glm4MoeForCausalLM", names=ling2_names, config=SMALL | {
        "architectures": ["BailingMoeV2ForCausalLM"], "model_type": "bailing_moe", "head_dim": 8,
        "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 1,
        "moe_shared_expert_intermediate_size": 8, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
        "norm_topk_prob": True, "routed_scaling_factor": 2.5, "score_function": "sigmoid", "router_dtype": "fp32",
        "moe_router_enable_expert_bias": True, "partial_rotary_factor": 0.5, "rotary_dim": 4, "use_qk_norm": True,
        "use_qkv_bias": False, "use_bias": False, "use_rmsnorm": True, "norm_head": False, "norm_softmax": False,
        "embedding_dropout": 0.0, "output_dropout": 0.0, "max_window_layers": 20, "rope_theta": 600000,
        "rope_scaling": None, "num_nextn_predict_layers": 0, "mtp_loss_scaling_factor": 0},
        reference=lambda c: c | {"n_routed_experts": 4, "n_shared_experts": 1, "model_type": "glm4_moe"}),
    "afmoe": dict(cls="AfmoeForCausalLM", names=renamed(), config=SMALL | {
        "architectures": ["AfmoeForCausalLM"], "model_type": "afmoe", "head_dim": 8,
        "moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 1,
        "num_dense_layers": 1, "global_attn_every_n_layers": 2, "sliding_window": 24, "route_norm": True,
        "layer_types": ["sliding_attention", "full_attention"],
        "route_scale": 2.826, "score_func": "sigmoid", "mup_enabled": True, "n_group": 1, "topk_group": 1,
        "num_expert_groups": 1, "num_limited_groups": 1, "load_balance_coeff": 0.001, "rope_theta": 10000,
        "rope_scaling": None, "use_grouped_mm": True}),
}


def is_bias(name):
    return name.endswith(("e_score_correction_bias", "expert_bias"))


def randomize(model):
    generator = torch.Generator().manual_seed(7)
    everything = list(model.named_parameters()) + [(n, b) for n, b in model.named_buffers() if is_bias(n)]
    for name, p in everything:
        noise = torch.randn(p.shape, generator=generator)
        if is_bias(name):
            p.data = 0.05 * noise.abs()
        elif p.dim() == 1:
            p.data = (1 + 0.3 * noise).to(torch.bfloat16).float()
        else:
            gain = 3.0 if name.startswith("lm_head") else 0.3 if "embed" in name else 1.0
            width = 1 if "embed" in name else p.shape[-1]
            p.data = (noise * gain * width ** -0.5).to(torch.bfloat16).float()


def reference(model, ids):
    with torch.no_grad():
        logits = model(ids[None], use_cache=False).logits[0].float()
        tokens, greedy, margins = ids, [], []
        for _ in range(GREEDY):
            last = model(tokens[None], use_cache=False).logits[0, -1].float()
            best = torch.topk(last, 2).values
            greedy.append(int(last.argmax()))
            margins.append(float(best[0] - best[1]))
            tokens = torch.cat([tokens, torch.tensor(greedy[-1:])])
    rows = logits if len(ids) < LOGIT_ROWS_MAX else logits[-8:]
    return {"ids": ids.int(), "logits": rows.contiguous(), "argmax": logits.argmax(-1).int(),
            "greedy": torch.tensor(greedy).int(), "margin": torch.tensor(margins)}


def references(model, vocabulary):
    """The tensors of reference.safetensors: each prompt's tokens, logits and greedy continuation."""
    generator = torch.Generator().manual_seed(11)
    results = {}
    for i, n in enumerate(PROMPT_LENGTHS):
        ids = torch.randint(3, vocabulary, (n,), generator=generator)
        results.update({f"prompt{i}.{k}": v for k, v in reference(model, ids).items()})
    return results


def make_model(case):
    config = case.get("reference", lambda c: c)(json.loads(json.dumps(case["config"])))
    if not isinstance(case["cls"], str):
        return case["cls"](config).float().eval(), config
    cls = getattr(transformers, case["cls"])
    config.pop("model_type", None), config.pop("architectures", None)
    made = cls.config_class(**config)
    return cls._from_config(made, attn_implementation="eager", dtype=torch.float32).eval(), made


def write_config(out, case):
    config = case.get("published", lambda c: c)(case["config"])
    params = case.get("format") == "params"
    if not params and "dtype" not in config:
        config = config | {"dtype": "bfloat16"}
    text = json.dumps(config, indent=1) + "\n"
    (out / ("params.json" if params else "config.json")).write_text(text, encoding="utf-8")


def make(name, out):
    case = CASES[name]
    out.mkdir(parents=True, exist_ok=True)
    model, made = make_model(case)
    randomize(model)
    state = {n: t for n, t in model.state_dict().items() if "rotary" not in n}
    tensors = case["names"](state, made)
    tensors = {n: (t if is_bias(n) else t.to(torch.bfloat16)).contiguous() for n, t in tensors.items()}
    write_config(out, case)
    weights = "consolidated.safetensors" if case.get("format") == "params" else "model.safetensors"
    save_file(tensors, out / weights, metadata={"format": "pt"})
    results = references(model, SMALL["vocab_size"])
    save_file(results, out / "reference.safetensors")
    size = sum(f.stat().st_size for f in out.iterdir())
    margins = torch.cat([results[f"prompt{i}.margin"] for i in range(3)])
    print(f"{name}: {size} bytes, smallest margin {margins.min():.4f}, {len(tensors)} tensors")


def main(directory, *names):
    for name in names or CASES:
        make(name, Path(directory) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
