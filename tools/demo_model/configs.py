"""The demo models' sizes, one configuration a family; each writes the config.json that transformers and we read.

The sizes are chosen by the size of the file (bf16): demo at most 12.4 MB, DeepSeek form 3.2 MB, draft 1.4 MB.
"""

import dataclasses

from model import DenseFeedForward, GroupedQueryAttention, LatentAttention, Mixture

PADDING_ID, TURN_END_ID = 0, 2  # see chat.SPECIAL_TOKENS
GENERATION = {"bos_token_id": None, "eos_token_id": TURN_END_ID, "pad_token_id": PADDING_ID, "do_sample": False}


@dataclasses.dataclass(frozen=True)
class Decoder:
    """What the families have in common."""

    hidden: int
    layers: int
    heads: int
    width: int  # of one expert
    vocab: int = 2048
    context: int = 2048
    theta: float = 10000.0
    eps: float = 1e-6
    tied: bool = True

    def common_json(self, architecture, model_type):
        return {
            "architectures": [architecture], "model_type": model_type, "torch_dtype": "bfloat16",
            "vocab_size": self.vocab, "hidden_size": self.hidden, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "max_position_embeddings": self.context, "hidden_act": "silu",
            "rms_norm_eps": self.eps, "rope_theta": self.theta, "tie_word_embeddings": self.tied,
            "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True,
            "bos_token_id": None, "eos_token_id": TURN_END_ID, "pad_token_id": PADDING_ID,
        }


@dataclasses.dataclass(frozen=True)
class Mistral(Decoder):
    """Dense, with grouped queries."""

    kv_heads: int = 2
    head_dim: int = 32

    @property
    def rope_dim(self):
        return self.head_dim

    def attention(self):
        return GroupedQueryAttention(self)

    def feed_forward(self, layer):
        return DenseFeedForward(self.hidden, self.width)

    def attention_json(self):
        return {"num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "sliding_window": None,
                "intermediate_size": self.width}

    def json(self):
        return self.common_json("MistralForCausalLM", "mistral") | self.attention_json()


@dataclasses.dataclass(frozen=True)
class Mixtral(Mistral):
    """Mistral with experts; the gates of the chosen ones sum to one."""

    experts: int = 8
    chosen: int = 2
    normalise: bool = True
    gate_scale: float = 1.0

    def feed_forward(self, layer):
        return Mixture(self)

    def json(self):
        return self.common_json("MixtralForCausalLM", "mixtral") | self.attention_json() | {
            "num_local_experts": self.experts, "num_experts_per_tok": self.chosen, "output_router_logits": False,
            "router_aux_loss_coef": 0.01, "router_jitter_noise": 0.0,
        }


@dataclasses.dataclass(frozen=True)
class DeepseekV2(Decoder):
    """MLA; the first layer dense, then fine-grained routed experts and shared ones. eps stays at 1e-6: transformers
    uses that in the latent's norm whatever rms_norm_eps says. normalise stays off: transformers has no such code."""

    dense_width: int = 192
    dense_layers: int = 1
    experts: int = 16
    chosen: int = 4
    shared: int = 2
    normalise: bool = False
    gate_scale: float = 4.0
    kv_rank: int = 64
    nope_dim: int = 32
    rope_dim: int = 16
    value_dim: int = 32

    def attention(self):
        return LatentAttention(self)

    def feed_forward(self, layer):
        if layer < self.dense_layers:
            return DenseFeedForward(self.hidden, self.dense_width)
        return Mixture(self, self.shared * self.width)

    def json(self):
        return self.common_json("DeepseekV2ForCausalLM", "deepseek_v2") | {
            "num_key_value_heads": self.heads, "intermediate_size": self.dense_width,
            "first_k_dense_replace": self.dense_layers, "moe_layer_freq": 1, "moe_intermediate_size": self.width,
            "n_routed_experts": self.experts, "num_experts_per_tok": self.chosen, "n_shared_experts": self.shared,
            "scoring_func": "softmax", "topk_method": "greedy", "n_group": 1, "topk_group": 1,
            "norm_topk_prob": self.normalise, "routed_scaling_factor": self.gate_scale,
            "q_lora_rank": None, "kv_lora_rank": self.kv_rank, "qk_nope_head_dim": self.nope_dim,
            "qk_rope_head_dim": self.rope_dim, "v_head_dim": self.value_dim, "attention_bias": False,
        }


CONFIGS = {
    "demo": Mixtral(hidden=256, layers=7, heads=8, width=96, kv_heads=4),
    "deepseek": DeepseekV2(hidden=128, layers=5, heads=4, width=32),
    "draft": Mistral(hidden=128, layers=3, heads=4, width=224, kv_heads=2),
}
# Of the same forms, to test with: a step of them takes milliseconds on a CPU.
TINY = {
    "demo": Mixtral(hidden=64, layers=2, heads=4, width=32, kv_heads=2, head_dim=16, experts=4),
    "deepseek": DeepseekV2(hidden=64, layers=2, heads=2, width=16, dense_width=64, experts=4, chosen=2, kv_rank=32),
    "draft": Mistral(hidden=32, layers=1, heads=2, width=64, kv_heads=1, head_dim=16),
}
