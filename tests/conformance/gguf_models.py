"""Converts every tiny model that GGUF knows, and compares logits (gguf_models.cpp). Exits with 77 without gguf.

    gguf_models.py BINARY REPOSITORY
"""

import pathlib
import subprocess
import sys
import tempfile

# glm4-moe-lite: its first layer has experts and its second none, which GGUF cannot say. hy-v3, kimi-k25, mellum, mistral-large-3, mixtral-params, qwen3-next, qwen3-omni: no row in GGUF's table, or another
# form of a model that is here.
MODELS = """afmoe bailing-moe bailing-moe-v2 dbrx deepseek-moe deepseek-v2 deepseek-v3 dots1 ernie4_5-moe exaone-moe
glm4-moe gpt-oss granitemoe granitemoeshared hunyuan-moe llama llama4-text minimax-m2 ministral3 mistral
mistral4 mixtral olmoe phimoe qwen2 qwen2-moe qwen3 qwen3-moe solar-open""".split()
KEPT = "Q8_0 Q4_0 Q5_0 Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
UNPACKED = "Q4_1 Q5_1 Q2_K Q3_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S TQ1_0 TQ2_0".split()
DEMO = "polymath-demo"
MIXED = "Q4_K,attn_v=Q6_K,ffn_down=Q5_0"  # as llama.cpp mixes them


def main():
    binary, repository = sys.argv[1], pathlib.Path(sys.argv[2])
    python = repository / ".venv/bin/python"
    python = str(python) if python.exists() else sys.executable
    if subprocess.run([python, "-c", "import gguf"], capture_output=True).returncode != 0:
        print("the Python package gguf is not there")
        return 77
    data = repository / "tests/conformance/data/models"
    jobs = [(data / name, "F32", 1) for name in MODELS]
    jobs += [(data / "qwen3-moe", "BF16", 1), (data / "mixtral", "F32", 3)]
    jobs += [(repository / "models" / DEMO, kind, 1) for kind in KEPT]
    jobs += [(repository / "models" / DEMO, "random:" + kind, 1) for kind in UNPACKED]
    jobs.append((repository / "models" / DEMO, MIXED, 1))
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for source, kind, parts in jobs:
            name = "MIXED" if "," in kind else kind.removeprefix("random:")
            out = pathlib.Path(folder) / f"{source.name}.{name}.gguf"
            tool = repository / "tools/make_gguf.py"
            subprocess.run([python, tool, source, out, "--type", kind, "--parts", str(parts)], check=True,
                           capture_output=True)  # fmt: skip
            files.append(out if parts == 1 else next(pathlib.Path(folder).glob(f"{out.stem}-00001-of-*.gguf")))
        return subprocess.run([binary, *files]).returncode


if __name__ == "__main__":
    sys.exit(main())
