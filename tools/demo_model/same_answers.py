#!/usr/bin/env python3
"""Whether a server answers as transformers does: same_answers.py http://127.0.0.1:8000 answers.jsonl

answers.jsonl is what compare.py wrote. Prints how many greedy answers are equal, and those that are not.
"""

import argparse
import json
import pathlib

from client import Server, at_once
from evaluate import ANSWER_TOKENS_MAX


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("answers", type=pathlib.Path)
    args = parser.parse_args()
    server = Server(args.url)
    rows = [json.loads(line) for line in args.answers.read_text().splitlines()]
    choices = at_once(lambda row: server.complete(row["prompt"], ANSWER_TOKENS_MAX), rows)
    equal = 0
    for row, choice in zip(rows, choices):
        if choice["text"] == row["answer"]:
            equal += 1
        else:
            print(f"--- {row['domain']}: ...{row['prompt'][-200:]!r}\ntransformers {row['answer']!r}\nserver       {choice['text']!r}")
    print(f"{equal} of {len(rows)} answers are equal")


if __name__ == "__main__":
    main()
