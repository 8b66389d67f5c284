#!/usr/bin/env python3
"""Runs the client tests with the interpreter of .venv; exits with 77 (skipped) where there is none.

python3 tests/clients/run.py path/to/polymath path/to/stand-in [repository [folder of tests]]
"""

import os
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).resolve().parents[2]
python = root / ".venv" / "bin" / "python"
if not python.exists():
    print("skipped: no .venv; tools/setup.sh venv makes it")
    sys.exit(77)
folder = Path(sys.argv[4] if len(sys.argv) > 4 else __file__).resolve()
folder = folder.parent if folder.is_file() else folder
polymath, stand_in = (str(Path(argument).resolve()) for argument in sys.argv[1:3])
environment = dict(os.environ, POLYMATH=polymath, POLYMATH_STAND_IN=stand_in, POLYMATH_ROOT=str(root))
command = [str(python), "-m", "unittest", "discover", "-v", "-s", str(folder), "-p", "*_test.py"]
sys.exit(subprocess.run(command, env=environment, check=False).returncode)
