#!/usr/bin/env python3
"""Records what transformers computes where a key of a config is dropped, renamed or moved.

    python3 tools/make_config_mutations.py tests/conformance/data/config_mutations.json [model ...] [--edits]

For each conformance model, each mutation of its config.json, and the edits below. The outcome: "same" as without it,
"error", or the last row's logits of prompt 2, as [argmax, then five of them]. Needs torch and transformers 5.24.
tests/conformance's config_test.cpp makes the same mutations: it must get the same logits, or refuse.
"""

import copy
import json
import os
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

MODELS = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data/models"
ROPE = "rope_parameters"
WITHOUT_CLASS = {"deepseek-moe", "bailing-moe", "bailing-moe-v2"}  # transformers has no class of them
TEXT_CLASSES = {"mistral4": "Mistral4ForCausalLM"}  # of wrappers whose text part has no automatic class
SAME_AS_ANOTHER = {"kimi-k25", "qwen3-omni"}  # DeepSeek-V3 and Qwen3-MoE in a wrapper
# Of transformers alone, or without any effect: mutations of these say nothing about an engine.
IGNORED = {"architectures", "model_type", "transformers_version"}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
NESTED = {"full_attention": {"rope_theta": 5e5, "rope_type": "default"},
          "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}}
FULL = ["full_attention"] * 3
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
WINDOW = {"use_sliding_window": True, "sliding_window": 16}

# Put over a model's config, null taking a key away: forms that published configs have.
EDITS = [
    ("mixtral", {"architectures": None}),
    ("mixtral", {"architectures": ["MyMixtralForCausalLM", "MixtralForCausalLM"]}),
    ("mixtral", {"torch_dtype": "auto", "dtype": None}),
    ("mixtral", {ROPE: None, "rope_scaling": {"rope_type": "default", "rope_theta": 5e5}}),
    ("mixtral", {ROPE: None, "rope_theta": 5e5}),
    ("mixtral", {ROPE: None, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    ("mixtral", {ROPE: None, "rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    ("mixtral", {ROPE: {"rope_theta": None, "partial_rotary_factor": 0.5}}),
    ("mixtral", {ROPE: NESTED}),
    ("mixtral", {ROPE: {"mrope_section": [2, 3, 3]}}),
    ("mixtral", {"sliding_window": 16}),
    ("mixtral", {"sliding_window": 16, "layer_types": FULL}),
    ("mixtral", {"hidden_act": "gelu"}),
    ("mixtral", {"hidden_act": "gelu_pytorch_tanh"}),
    ("mixtral", {"hidden_act": "relu"}),
    ("mixtral", {"tie_word_embeddings": True}),
    ("mixtral", {"num_experts_per_tok": 3}),
    ("llama", {"sliding_window": 16}),
    ("llama", {"sliding_window": 16, "layer_types": ["sliding_attention"] * 3}),
    ("llama", {ROPE: YARN}),
    ("llama", {ROPE: {**YARN, "beta_fast": 8, "beta_slow": 2, "truncate": False}}),
    ("llama", {ROPE: {**YARN, "attention_factor": 1.5}}),
    ("llama", {ROPE: {**YARN, "mscale": 0.7, "mscale_all_dim": 1.0}}),
    ("llama", {ROPE: {**YARN, "mscale": 0.7}}),
    ("llama", {ROPE: None, "rope_theta": 1e4, "rope_scaling": {"type": "yarn", "factor": 8.0},
               "original_max_position_embeddings": 64}),
    ("llama", {ROPE: {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.5] * 8,
                      "original_max_position_embeddings": 64, "rope_theta": 1e4}}),
    ("llama", {ROPE: {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.5] * 8, "factor": 2.0,
                      "original_max_position_embeddings": 64, "rope_theta": 1e4}}),
    ("llama", {ROPE: {"rope_type": "linear", "factor": 2.0}}),
    ("qwen3-moe", WINDOW),
    ("qwen3-moe", {**WINDOW, "max_window_layers": 1}),
    ("qwen2-moe", {**WINDOW, "max_window_layers": 1, "layer_types": None}),
    ("qwen2-moe", {**WINDOW, "layer_types": None}),
    ("qwen2-moe", {**WINDOW, "layer_types": MIXED}),
    ("qwen3", {**WINDOW, "layer_types": MIXED}),
    ("qwen3", {**WINDOW, "layer_types": None, "max_window_layers": 1}),
    ("qwen3", {"layer_types": MIXED}),
    ("mistral", {"sliding_window": 16}),
    ("gpt-oss", {"layer_types": None}),
    ("gpt-oss", {"swiglu_limit": 1.0, "swiglu_alpha": 1.0}),
    ("gpt-oss", {"hidden_act": "gelu"}),
    ("dbrx", {"ffn_config": {"ffn_act_fn": {"name": "gelu"}}}),
    ("dbrx", {"ffn_config": {"moe_normalize_expert_weights": 2.0}}),
    ("dbrx", {"attn_config": {"clip_qkv": 0.5}}),
    ("deepseek-v3", {ROPE: {**YARN, "mscale": 1.0, "mscale_all_dim": 0.8}}),
    ("deepseek-v3", {ROPE: {"rope_type": "linear", "factor": 4.0, "mscale_all_dim": 0.8}}),
    ("deepseek-v3", {"norm_topk_prob": False}),
    ("deepseek-v3", {"rope_interleave": False}),
    ("deepseek-v3", {"scoring_func": "softmax"}),
    ("deepseek-v2", {"norm_topk_prob": True}),
    ("deepseek-v2", {"moe_layer_freq": 2}),
    ("deepseek-v2", {"topk_method": "group_limited_greedy", "n_group": 2, "topk_group": 1}),
    ("glm4-moe", {ROPE: None, "partial_rotary_factor": 1.0}),
    ("glm4-moe", {ROPE: None}),
    ("llama4-text", {"layer_types": None}),
    ("llama4-text", {"layer_types": ["full_attention"] * 4}),
    ("llama4-text", {"no_rope_layers": []}),
    ("llama4-text", {"floor_scale": 16}),
    ("llama4-text", {"floor_scale": 16, "attn_temperature_tuning": False}),
    ("olmoe", {"clip_qkv": 0.5}),
    ("hunyuan-moe", {ROPE: {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}}),
    ("granitemoe", {"hidden_act": "gelu"}),
    ("ernie4_5-moe", {"moe_norm_min": 0.9}),
    ("ernie4_5-moe", {"tie_word_embeddings": None}),
]


# Written by transformers 4 for any class; these have no windows.
OLD_WINDOW = {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}
EDITS += [(model, OLD_WINDOW) for model in (
    "dbrx", "deepseek-v2", "deepseek-v3", "ernie4_5-moe", "glm4-moe", "glm4-moe-lite", "granitemoe",
    "granitemoeshared", "hunyuan-moe", "hy-v3", "llama4-text", "minimax-m2", "olmoe", "qwen3-next", "solar-open")]
EDITS += [
    ("mixtral", {"sliding_window": 16, "use_sliding_window": False}),
    ("mistral", {"sliding_window": 16, "use_sliding_window": False}),
    ("phimoe", {"sliding_window": 16, "use_sliding_window": False}),
    ("ministral3", {"sliding_window": 16, "use_sliding_window": False}),
    ("gpt-oss", {"use_sliding_window": False}),
    ("dots1", {"sliding_window": 16, "use_sliding_window": False, "max_window_layers": 1}),
    ("qwen3", {"sliding_window": 16, "use_sliding_window": False, "max_window_layers": 1, "layer_types": None}),
    ("deepseek-v2", {"rms_norm_eps": 0.05}),
    ("deepseek-v3", {"rms_norm_eps": 0.05}),
    ("glm4-moe-lite", {"rms_norm_eps": 0.05}),
    ("mistral4", {"text_config": {"rms_norm_eps": 0.05}}),
    ("mixtral", {"hidden_act": "gelu_accurate"}),
    ("mixtral", {"hidden_act": "gelu_python_tanh"}),
    ("mixtral", {"layer_types": ["attention"] * 3}),
    ("qwen3-next", {"layer_types": ["linear_attention", "linear_attention", "attention", "linear_attention"]}),
    ("hunyuan-moe", {"norm_topk_prob": False}),
    ("hunyuan-moe", {"use_qk_norm": False}),
    ("hunyuan-moe", {ROPE: {"rope_type": "dynamic", "alpha": 0, "factor": 2.0}}),
    ("llama", {ROPE: {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}}),
    ("mellum", {ROPE: {"full_attention": {**YARN, "truncate": False}, "sliding_attention": YARN}}),
    ("mellum", {ROPE: {"full_attention": YARN, "sliding_attention": YARN}}),
    ("mellum", {ROPE: {"full_attention": YARN, "sliding_attention": YARN, "truncate": False}}),
]


def merge(config, patch):
    for key, value in patch.items():
        if value is None:
            config.pop(key, None)
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = copy.deepcopy(value)
    return config


def mutations(config):
    """Pairs of a name and the mutated config. Of a wrapper, the text part's keys."""
    if "text_config" in config:
        for inner in config["text_config"]:
            for kind in ["drop", "null", "rename"] if inner not in IGNORED else ():
                yield f"{kind} text_config.{inner}", mutate(config, kind, "text_config", inner)
        return
    for key, value in config.items():
        if key in IGNORED:
            continue
        kinds = ["drop", "null", "rename"]
        if isinstance(config.get(ROPE), dict) and key != ROPE:
            kinds.append("nest")
        if key == ROPE:
            kinds += ["old", "split", "by_type"]
        for kind in kinds:
            yield f"{kind} {key}", mutate(config, kind, key)
        if isinstance(value, dict):
            for inner in value:
                for kind in ["drop", "null", "rename", "lift"]:
                    yield f"{kind} {key}.{inner}", mutate(config, kind, key, inner)
    for alias, key in alias_pairs(config):
        yield f"as:{alias} {key}", mutate(config, f"as:{alias}", key)


def alias_pairs(config):
    pairs = AutoConfig.for_model(config["model_type"]).attribute_map.items()
    for a, b in pairs:
        for alias, key in ((a, b), (b, a)):
            if key in config:
                yield alias, key


def mutate(config, kind, key, inner=None):
    out = copy.deepcopy(config)
    place = out if inner is None else out[key]
    name = key if inner is None else inner
    value = place[name]
    if kind == "null":
        place[name] = None
        return out
    del place[name]
    if kind == "rename":
        place[name + "_x"] = value
    elif kind.startswith("as:"):
        place[kind[3:]] = value
    elif kind == "nest":
        out[ROPE][name] = value
    elif kind == "lift":
        out[name] = value
    elif kind == "old":
        out["rope_scaling"] = value
    elif kind == "split":
        scaling = dict(value)
        for part in ("rope_theta", "partial_rotary_factor"):
            if part in scaling:
                out[part] = scaling.pop(part)
        out["rope_scaling"] = scaling
    elif kind == "by_type":
        out[ROPE] = {"full_attention": value, "sliding_attention": value}
    return out


def text_part(weights):
    """A wrapper's text tensors under the text class's own names, experts stacked."""
    out = {name.replace("model.language_model.", "model."): w for name, w in weights.items()}
    for prefix in {name.split(".0.gate_proj.")[0] for name in out if ".experts.0.gate_proj." in name}:
        n = sum(name.startswith(prefix) and ".gate_proj." in name for name in out)
        take = lambda part: torch.stack([out.pop(f"{prefix}.{i}.{part}_proj.weight") for i in range(n)])
        gate, up = take("gate"), take("up")
        out[f"{prefix}.gate_up_proj"] = torch.cat([gate, up], dim=1)
        out[f"{prefix}.down_proj"] = take("down")
    return out


class Recorder:
    def __init__(self, name):
        self.directory = MODELS / name
        self.config = json.loads((self.directory / "config.json").read_text())
        with safe_open(self.directory / "reference.safetensors", "pt") as f:
            self.ids = f.get_tensor("prompt2.ids").long()[None]
        self.weights = load_file(self.directory / "model.safetensors") if "text_config" in self.config else None
        self.known = {}
        self.base = self.run(self.config)

    def run(self, config):
        with tempfile.TemporaryDirectory() as directory:
            for path in self.directory.iterdir():
                if path.name != "config.json" and (self.weights is None or path.suffix != ".safetensors"):
                    os.symlink(path, f"{directory}/{path.name}")
            if self.weights is not None:
                config = config["text_config"]
                save_file(text_part(self.weights), f"{directory}/model.safetensors", {"format": "pt"})
            pathlib.Path(directory, "config.json").write_text(json.dumps(config))
            try:
                parsed = AutoConfig.from_pretrained(directory)
                text = json.dumps({k: v for k, v in parsed.to_dict().items() if k not in ("dtype", "text_config")
                                   and not k.endswith("_x")}, sort_keys=True, default=str)
                if text not in self.known:
                    self.known[text] = self.logits(directory)
                return self.known[text]
            except Exception as e:  # any failure of the library is an outcome
                if isinstance(e, KeyboardInterrupt):
                    raise
                return None

    def logits(self, directory):
        text_class = TEXT_CLASSES.get(self.directory.name)
        model, info = (getattr(transformers, text_class) if text_class else AutoModelForCausalLM).from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        if info["missing_keys"] or info["mismatched_keys"]:
            return None
        with torch.no_grad():
            return model(self.ids, use_cache=False).logits[0, -1]

    def outcome(self, config):
        row = self.run(config)
        if row is None or not torch.isfinite(row).all():
            return "error"
        if (row - self.base).abs().max() < 1e-4:
            return "same"
        n = row.numel()
        return [int(row.argmax())] + [round(float(row[i * (n - 1) // 4]), 4) for i in range(5)]


def main():
    out_path = pathlib.Path(sys.argv[1])
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    out = json.loads(out_path.read_text()) if out_path.exists() else {}
    edits_alone = "--edits" in sys.argv
    names = [n for n in sys.argv[2:] if n != "--edits"]
    names = names or sorted(p.name for p in MODELS.iterdir()
                            if p.name not in WITHOUT_CLASS | SAME_AS_ANOTHER and (p / "config.json").exists())
    for name in names:
        recorder = Recorder(name)
        assert recorder.base is not None, name
        out.setdefault(name, {})
        for mutation, config in mutations(recorder.config) if not edits_alone else ():
            kind, key = mutation.split(" ")
            out[name].setdefault(key, {})[kind] = recorder.outcome(config)
        edits = [patch for model, patch in EDITS if model == name]
        if edits:
            out[name]["edits"] = [[patch, recorder.outcome(merge(copy.deepcopy(recorder.config), patch))]
                                  for patch in edits]
        print(name, len(recorder.known), flush=True)
        rows = [f"{json.dumps(n)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}"
                                                       for k, v in keys.items()) + "}" for n, keys in out.items()]
        out_path.write_text("{" + ",\n".join(rows) + "}\n")


main()
