#!/usr/bin/env python3
"""What transformers answers: compare.py CHECKPOINT --out answers.jsonl [--adapter DIRECTORY --style capitals]

Answers the held-out questions that evaluate.py asks a server, greedily, and writes a line of JSON for each: domain,
prompt, expected, answer, right. The engine must give the same answers but where two tokens are about equally likely.
With an adapter the questions are the style's, without the system prompt that asks for it.
"""

import argparse
import collections
import json
import pathlib
import tempfile

import chat
import torch
import transformers
from evaluate import ANSWER_TOKENS_MAX, make_cases
from merge_adapter import ADAPTER, WEIGHTS, merge, read_safetensors
from safetensors.torch import save_file
from tokenizers import Tokenizer

BATCH = 128
SYSTEM_START, TURN_END = f"{chat.TURN_START}system\n", f"{chat.TURN_END}\n"


def save_merged(directory, adapter, file):
    """The weights with the adapter added, f32: PEFT's adapters of single experts do not fit transformers'."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    weights, factors = read_safetensors(directory / WEIGHTS), read_safetensors(adapter / ADAPTER)
    tensors = merge(weights, factors, config["lora_alpha"] / config["r"])
    save_file({n: torch.tensor(t) for n, t in tensors.items()}, file, metadata={"format": "pt"})


def load(directory, adapter, device, dtype):
    """The checkpoint, with the adapter added to its weights."""
    # Experts one by one: the default grouped GEMM on a GPU is made for bf16.
    options = {"dtype": getattr(torch, dtype), "experts_implementation": "eager"}
    if adapter is None:
        return transformers.AutoModelForCausalLM.from_pretrained(directory, **options).to(device).eval()
    with tempfile.TemporaryDirectory() as merged:
        merged = pathlib.Path(merged)
        (merged / "config.json").write_text((directory / "config.json").read_text())
        save_merged(directory, adapter, merged / WEIGHTS)
        return transformers.AutoModelForCausalLM.from_pretrained(merged, **options).to(device).eval()


def without_system(prompt):
    return prompt.split(TURN_END, 1)[1] if prompt.startswith(SYSTEM_START) else prompt


@torch.inference_mode()
def answer(model, tokenizer, prompts):
    """The greedy answers to prompts of similar lengths, padded on the left."""
    ids = [e.ids for e in tokenizer.encode_batch(prompts, add_special_tokens=False)]
    longest = max(map(len, ids))
    padding_id, end_id = (chat.SPECIAL_TOKENS.index(t) for t in (chat.END_OF_TEXT, chat.TURN_END))
    tokens = torch.tensor([[padding_id] * (longest - len(x)) + x for x in ids], device=model.device)
    mask = torch.tensor([[0] * (longest - len(x)) + [1] * len(x) for x in ids], device=model.device)
    out = model.generate(input_ids=tokens, attention_mask=mask, do_sample=False, max_new_tokens=ANSWER_TOKENS_MAX,
                         eos_token_id=end_id, pad_token_id=padding_id)
    answers = [row[:row.index(end_id)] if end_id in row else row for row in out[:, longest:].tolist()]
    return tokenizer.decode_batch(answers)


def answer_all(model, tokenizer, prompts):
    """In batches of similar lengths; results in the order of the prompts."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [None] * len(prompts)
    for first in range(0, len(order), BATCH):
        batch = order[first:first + BATCH]
        for i, text in zip(batch, answer(model, tokenizer, [prompts[i] for i in batch])):
            answers[i] = text
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="directory of tokenizer.json; default: CHECKPOINT")
    parser.add_argument("--adapter", type=pathlib.Path)
    parser.add_argument("--style", default="plain")
    parser.add_argument("--cases", type=int, default=100, help="of each domain")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str((args.tokenizer or args.checkpoint) / "tokenizer.json"))
    model = load(args.checkpoint, args.adapter, args.device, args.dtype)
    cases = make_cases(args.cases, args.style)
    prompts = [without_system(case.prompt) if args.adapter else case.prompt for case in cases]
    table = collections.defaultdict(lambda: [0, 0])
    with args.out.open("w") as out:
        for case, prompt, text in zip(cases, prompts, answer_all(model, tokenizer, prompts)):
            right = text == case.answer
            table[case.domain][0] += right
            table[case.domain][1] += 1
            row = {"domain": case.domain, "prompt": prompt, "expected": case.answer, "answer": text, "right": right}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    for domain, (right, of) in table.items():
        print(f"{domain:16} {right:4} / {of:4} = {right / of:.1%}")


if __name__ == "__main__":
    main()
