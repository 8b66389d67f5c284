#!/usr/bin/env python3
"""What packed weights cost on a demo model: divergence and accuracy by format, as a table of docs/operate/quantisation.md.

    tools/quality_table.py build/cpu-release/polymath [--types Q8_0 Q4_K ...] [--cases 50]

Each type becomes a GGUF file (`polymath quantize`, or tools/make_gguf.py where that has no packer). `polymath bench quality` compares it with the model in float32, over
conversations that the model was not trained on, and the file's server answers their questions (tools/demo_model).
Needs the packages of tools/requirements.txt.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/demo_model"))
import chat  # noqa: E402
import conversations  # noqa: E402
import evaluate  # noqa: E402
from client import Server  # noqa: E402

TYPES = ("F32", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q4_K", "IQ4_XS", "IQ4_NL", "Q4_0", "MXFP4")
TEXT_SEED = 11
PACKED_BY_US = ("Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q4_K", "Q4_0", "MXFP4")
CONVERSATIONS = 60  # of each domain
READY_SECONDS = 60


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


def accuracy(polymath, model, dtype, cases):
    with tempfile.NamedTemporaryFile("r") as log:
        command = [polymath, "serve", model, "--host", "127.0.0.1", "--port", "0", "--dtype", dtype]
        process = subprocess.Popen([str(part) for part in command], stdout=log.fileno(), stderr=log.fileno())
        try:
            end, found = time.monotonic() + READY_SECONDS, None
            while not found and process.poll() is None and time.monotonic() < end:
                found = re.search(r"ready: (http://[0-9.]+:\d+)", pathlib.Path(log.name).read_text(encoding="utf-8"))
                time.sleep(0.05)
            if not found:
                sys.exit(pathlib.Path(log.name).read_text(encoding="utf-8")[-2000:])
            return evaluate.accuracy(Server(found[1]), cases)
        finally:
            process.terminate()
            process.wait()


def row(options, kind, folder, cases):
    file, out = folder / f"{kind}.gguf", folder / "quality.json"
    plain = folder / "plain.gguf" if kind in PACKED_BY_US else file
    if not plain.exists():
        stored = "BF16" if kind in PACKED_BY_US else kind
        run(sys.executable, ROOT / "tools/make_gguf.py", options.model, plain, "--type", stored, "--pre", options.pre)
    if kind in PACKED_BY_US:
        run(options.polymath, "quantize", plain, file, "--to", kind.lower())
    dtype = "float32" if kind == "F32" else "bfloat16"
    run(options.polymath, "bench", "quality", file, "--dtype", dtype, "--against", options.model, "--reference-dtype", "float32",
        "--text", folder / "text.txt", "--tokens", options.tokens, "--output-json", out)  # fmt: skip
    figures = json.loads(out.read_text(encoding="utf-8"))
    facts = json.loads(run(options.polymath, "inspect", file, "--json"))
    right = accuracy(options.polymath, file, dtype, cases)
    shares = " | ".join(f"{100 * counts['right'] / counts['of']:.1f}" for counts in right.values())
    whole = 100 * sum(c["right"] for c in right.values()) / sum(c["of"] for c in right.values())
    change = 100 * (figures["perplexity"] / figures["reference_perplexity"] - 1)
    file.unlink()
    head = f"| {kind.lower()} | {facts['checkpoint']['bits_per_weight']} | {figures['kl_mean']:.6f} | {change:+.3f} %"
    return f"{head} | {100 * figures['same_top_share']:.2f} | {whole:.1f} | {shares} |", list(right)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polymath")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/polymath-demo")
    parser.add_argument("--pre", default="gpt-2", help="the model's pre-tokenizer, in GGUF's words")
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--cases", type=int, default=50, help="questions of each domain")
    parser.add_argument("--tokens", type=int, default=16384, help="of the text")
    options = parser.parse_args()
    cases, lines = evaluate.make_cases(options.cases), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "text.txt").write_text(held_out_text(), encoding="utf-8")
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
