#!/usr/bin/env python3
"""What packed weights cost on a demo model: divergence and accuracy by format, as a table of docs/operate/quantisation.md.

    tools/quality_table.py build/cpu-release/polymath [--types q8_0 q4_k q4_k:calibrated ...] [--cases 50]

Each type becomes a GGUF file or a directory (`polymath quantize`, or tools/make_gguf.py where that has no packer), with
--calibrate where its name ends so. `polymath bench quality` compares it with the model in float32, over conversations that
the model was not trained on, and a server of it answers their questions (tools/demo_model). Calibration reads
conversations of the kind that it was trained on. Needs the packages of tools/requirements.txt.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/demo_model"))
import chat  # noqa: E402
import conversations  # noqa: E402
import evaluate  # noqa: E402
from serving import served  # noqa: E402

PACKED_BY_US = ("q8_0", "q6_k", "q5_k", "q5_0", "q4_k", "q4_0", "mxfp4")
DIRECTORIES = ("fp8", "int4")
CALIBRATED = ":calibrated"
TYPES = ("f32", "bf16", "q8_0", "fp8", "q6_k", "q6_k:calibrated", "q5_k", "q5_k:calibrated", "q5_0", "q4_k",
         "q4_k:calibrated", "iq4_xs", "iq4_nl", "q4_0", "q4_0:calibrated", "mxfp4", "int4", "int4:calibrated")  # fmt: skip
TEXT_SEED = 11
CONVERSATIONS = 60  # of each domain
CALIBRATION_CONVERSATIONS = 400


def held_out_text():
    parts = []
    for domain in conversations.DOMAIN_WEIGHTS:
        rng = random.Random(f"{TEXT_SEED} {domain}")
        for _ in range(CONVERSATIONS):
            case = conversations.held_out_case(rng, domain)
            if case:
                parts.append(chat.render(case.messages, case.tools))
    random.Random(TEXT_SEED).shuffle(parts)
    return "".join(parts)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    return done.stdout


def calibration_text():
    rng = random.Random(f"{TEXT_SEED} calibration")
    samples = [conversations.sample(rng) for _ in range(CALIBRATION_CONVERSATIONS)]
    return "".join(chat.render(sample.messages, sample.tools) for sample in samples)


def packed(options, kind, folder):
    """The model in a format: a file or a directory, made once."""
    name = kind.removesuffix(CALIBRATED)
    calibrate = ["--calibrate", folder / "calibration.txt"] if kind.endswith(CALIBRATED) else []
    if name in DIRECTORIES:
        run(options.polymath, "quantize", options.model, folder / "packed", "--to", name, *calibrate)
        return folder / "packed"
    out, plain = folder / "packed.gguf", folder / "plain.gguf"
    if name not in PACKED_BY_US:
        to_gguf(options, out, name.upper())
        return out
    if not plain.exists():
        to_gguf(options, plain, "BF16")
    run(options.polymath, "quantize", plain, out, "--to", name, *calibrate)
    return out


def to_gguf(options, out, kind):
    run(sys.executable, ROOT / "tools/make_gguf.py", options.model, out, "--type", kind, "--pre", options.pre)


def row(options, kind, folder, cases):
    model, out = packed(options, kind, folder), folder / "quality.json"
    dtype = "float32" if kind == "f32" else "bfloat16"
    threads = ["--threads", options.threads] if options.threads else []
    run(options.polymath, "bench", "quality", model, "--dtype", dtype, "--against", options.model, "--reference-dtype", "float32",
        "--text", folder / "text.txt", "--tokens", options.tokens, "--output-json", out, *threads)  # fmt: skip
    figures = json.loads(out.read_text(encoding="utf-8"))
    facts = json.loads(run(options.polymath, "inspect", model, "--json"))
    with served(options.polymath, model, "--dtype", dtype, *threads) as server:
        right = evaluate.accuracy(server, cases)
    shares = " | ".join(f"{100 * counts['right'] / counts['of']:.1f}" for counts in right.values())
    whole = 100 * sum(c["right"] for c in right.values()) / sum(c["of"] for c in right.values())
    change = 100 * (figures["perplexity"] / figures["reference_perplexity"] - 1)
    shutil.rmtree(model) if model.is_dir() else model.unlink()
    name = kind.replace(":", ", ")
    head = f"| {name} | {facts['checkpoint']['bits_per_weight']} | {figures['kl_mean']:.6f} | {change:+.3f} %"
    return f"{head} | {100 * figures['same_top_share']:.2f} | {whole:.1f} | {shares} |", list(right)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polymath")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/polymath-demo")
    parser.add_argument("--pre", default="gpt-2", help="the model's pre-tokenizer, in GGUF's words")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--cases", type=int, default=50, help="questions of each domain")
    parser.add_argument("--tokens", type=int, default=16384, help="of the text")
    parser.add_argument("--threads", type=int, default=0, help="of each process; 0: one a core")
    options = parser.parse_args()
    cases, lines = evaluate.make_cases(options.cases), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "text.txt").write_text(held_out_text(), encoding="utf-8")
        (folder / "calibration.txt").write_text(calibration_text(), encoding="utf-8")
        for kind in options.types:
            line, domains = row(options, kind, folder, cases)
            lines.append(line)
            print(line, file=sys.stderr, flush=True)
    head = "| format | bits a weight | mean KL | perplexity | same top token, % | answers right, % |"
    print(head, *(f" {domain} |" for domain in domains), sep="")
    print("|---" * (head.count("|") - 1 + len(domains)), "|", sep="")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
