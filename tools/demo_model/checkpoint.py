"""The demo models' files, under the names that the Hugging Face hub's checkpoints of their families have."""

import dataclasses
import json

import torch
from configs import GENERATION, DeepseekV2, Mistral, Mixtral
from safetensors.torch import load_file, save_file

WEIGHTS_FILE = "model.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"

_OUTSIDE = {"embed": "model.embed_tokens.weight", "norm.weight": "model.norm.weight", "head": "lm_head.weight"}
_LAYER = {"attention_norm.weight": "input_layernorm.weight",
          "feed_forward_norm.weight": "post_attention_layernorm.weight"}
_GROUPED = {f"attention.{x}.weight": f"self_attn.{x}_proj.weight" for x in "qkvo"}
_DENSE = {f"feed_forward.dense.{x}.weight": f"mlp.{x}_proj.weight" for x in ("gate", "up", "down")}
_LATENT = {
    "attention.q.weight": "self_attn.q_proj.weight",
    "attention.kv_a.weight": "self_attn.kv_a_proj_with_mqa.weight",
    "attention.kv_norm.weight": "self_attn.kv_a_layernorm.weight",
    "attention.kv_b.weight": "self_attn.kv_b_proj.weight",
    "attention.o.weight": "self_attn.o_proj.weight",
}
# Our name within a layer -> the hub's; {e} stands for the number of an expert.
LAYER_NAMES = {
    Mistral: _LAYER | _GROUPED | _DENSE,
    Mixtral: _LAYER | _GROUPED | {"feed_forward.router": "block_sparse_moe.gate.weight"} | {
        f"feed_forward.experts.{ours}.weight": f"block_sparse_moe.experts.{{e}}.{theirs}.weight"
        for ours, theirs in (("gate", "w1"), ("down", "w2"), ("up", "w3"))},
    DeepseekV2: _LAYER | _LATENT | _DENSE | {"feed_forward.router": "mlp.gate.weight"} | {
        f"feed_forward.experts.{x}.weight": f"mlp.experts.{{e}}.{x}_proj.weight" for x in ("gate", "up", "down")} | {
        f"feed_forward.shared.{x}.weight": f"mlp.shared_experts.{x}_proj.weight" for x in ("gate", "up", "down")},
}


def hub_names(config, name, shape):
    """The hub's names of one of our parameters: one of each expert where it holds several, else one."""
    if name in _OUTSIDE:
        return [_OUTSIDE[name]]
    _, layer, rest = name.split(".", 2)
    theirs = f"model.layers.{layer}.{LAYER_NAMES[type(config)][rest]}"
    return [theirs.format(e=e) for e in range(shape[0])] if "{e}" in theirs else [theirs]


def _parts(tensor, names):
    """The tensor's share of each name. A dense layer is stored as one expert: its first dimension goes."""
    return tensor.unbind(0) if tensor.dim() == 3 else [tensor]


def hub_tensors(model, dtype):
    tensors = {}
    for name, parameter in model.named_parameters():
        names = hub_names(model.config, name, parameter.shape)
        parts = _parts(parameter.detach(), names)
        tensors |= {n: part.to("cpu", dtype).contiguous() for n, part in zip(names, parts, strict=True)}
    return tensors


def save(model, directory, dtype=torch.bfloat16):
    """A checkpoint of one file, as transformers loads it."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(hub_tensors(model, dtype), directory / WEIGHTS_FILE, metadata={"format": "pt"})
    _write_json(directory / "config.json", model.config.json() | {"torch_dtype": str(dtype).removeprefix("torch.")})
    _write_json(directory / "generation_config.json", GENERATION)


def load(model, directory):
    """Fills the model from a checkpoint of its own configuration."""
    written = json.loads((directory / "config.json").read_text())
    differing = [k for k, v in model.config.json().items() if written[k] != v and k != "torch_dtype"]
    if differing:
        raise ValueError(f"{directory} is another model: {', '.join(differing)} differ")
    tensors = load_file(directory / WEIGHTS_FILE)
    for name, parameter in model.named_parameters():
        parts = [tensors[n] for n in hub_names(model.config, name, parameter.shape)]
        whole = torch.stack(parts) if parameter.dim() == 3 else parts[0]
        parameter.data.copy_(whole)


@dataclasses.dataclass(frozen=True)
class Adapter:
    """LoRA (arXiv:2106.09685): weight + alpha / rank * b a."""

    rank: int
    alpha: int
    base: str

    def json(self, modules):
        return {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": self.base,
            "r": self.rank, "lora_alpha": self.alpha, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False,
            "use_rslora": False, "use_dora": False, "init_lora_weights": True, "inference_mode": True,
            "modules_to_save": None, "layers_to_transform": None, "layers_pattern": None,
            "rank_pattern": {}, "alpha_pattern": {}, "target_modules": modules,
        }


def adapter_tensors(model, dtype):
    """PEFT's names: the hub's name of the module, and lora_A [rank, in] or lora_B [out, rank]."""
    tensors = {}
    for name, matrix in model.matrices().items():
        for letter, factor in (("A", matrix.a), ("B", matrix.b)):
            names = hub_names(model.config, name + ".weight", factor.shape)
            for n, part in zip(names, _parts(factor.detach(), names), strict=True):
                key = f"base_model.model.{n.removesuffix('.weight')}.lora_{letter}.weight"
                tensors[key] = part.to("cpu", dtype).contiguous()
    return tensors


def save_adapter(model, adapter, directory, dtype=torch.bfloat16):
    directory.mkdir(parents=True, exist_ok=True)
    tensors = adapter_tensors(model, dtype)
    save_file(tensors, directory / ADAPTER_FILE, metadata={"format": "pt"})
    modules = sorted({name.split(".")[-3] for name in tensors})
    _write_json(directory / "adapter_config.json", adapter.json(modules))


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")
