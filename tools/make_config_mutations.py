#!/usr/bin/env python3
"""Records what transformers computes where a key of a config is dropped, renamed or moved.

    python3 tools/make_config_mutations.py tests/conformance/data/config_mutations.json [model ...]

For each conformance model, each mutation of its config.json and the outcome: "same" as without it, "error", or the last
row's logits of prompt 2, as [argmax, then five of them]. Needs torch and transformers 5.24. tests/conformance's
config_test.cpp makes the same mutations: it must get the same logits, or refuse.
"""

import copy
import json
import os
import pathlib
import sys
import tempfile

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

MODELS = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data/models"
ROPE = "rope_parameters"
WITHOUT_CLASS = {"deepseek-moe"}  # transformers has no class of them
# Of transformers alone, or without any effect: mutations of these say nothing about an engine.
IGNORED = {"architectures", "model_type", "transformers_version"}


def mutations(config):
    """Pairs of a name and the mutated config."""
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


class Recorder:
    def __init__(self, name):
        self.directory = MODELS / name
        self.config = json.loads((self.directory / "config.json").read_text())
        with safe_open(self.directory / "reference.safetensors", "pt") as f:
            self.ids = f.get_tensor("prompt2.ids").long()[None]
        self.known = {}
        self.base = self.run(self.config)

    def run(self, config):
        with tempfile.TemporaryDirectory() as directory:
            for path in self.directory.iterdir():
                if path.name != "config.json":
                    os.symlink(path, f"{directory}/{path.name}")
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
        model, info = AutoModelForCausalLM.from_pretrained(
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
    names = sys.argv[2:] or sorted(p.name for p in MODELS.iterdir() if p.name not in WITHOUT_CLASS)
    for name in names:
        recorder = Recorder(name)
        assert recorder.base is not None, name
        out[name] = {}
        for mutation, config in mutations(recorder.config):
            kind, key = mutation.split(" ")
            out[name].setdefault(key, {})[kind] = recorder.outcome(config)
        print(name, len(recorder.known), flush=True)
        rows = [f"{json.dumps(n)}: {{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}"
                                                       for k, v in keys.items()) + "}" for n, keys in out.items()]
        out_path.write_text("{" + ",\n".join(rows) + "}\n")


main()
