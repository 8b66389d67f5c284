#!/usr/bin/env python3
"""clang-format has nothing to change, in any C++ or CUDA file. Exits with 77 (skipped) without its version.

    python3 tests/tidy/format.py [repository]
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy  # noqa: E402

VERSION = "14"  # Debian 12's; other versions format otherwise
FILES_A_CALL = 40
SKIPPED = 77


def clang_format():
    for name in [f"clang-format-{VERSION}", "clang-format"]:
        path = shutil.which(name)
        if path and re.search(rf"version {VERSION}\.", subprocess.run([path, "--version"], capture_output=True, text=True).stdout):
            return path
    return None


def main(root):
    program = clang_format()
    if program is None:
        print(f"format: skipped: clang-format {VERSION} is not installed")
        return SKIPPED
    files = [name for name, _ in tidy.Tree(root).files(tidy.CPP)]
    calls = [files[i : i + FILES_A_CALL] for i in range(0, len(files), FILES_A_CALL)]

    def run(names):
        command = [program, "--dry-run", "--Werror", *names]
        return subprocess.run(command, cwd=root, capture_output=True, text=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = "".join(result.stderr for result in pool.map(run, calls))
    wrong = sorted(set(re.findall(r"^([^\s:]+):\d+:\d+: error", errors, re.MULTILINE)))
    for name in wrong:
        print(f"{name}: run clang-format -i")
    print(f"format: {len(files)} files, {len(wrong)} to format")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
