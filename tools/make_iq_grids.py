#!/usr/bin/env python3
"""Writes src/quant/formats/iq_grids.cpp: the grids of ggml's I-quants, as its Python package unpacks them.

    pip install -r tools/requirements.txt && tools/make_iq_grids.py
"""

import pathlib

import numpy as np
from gguf import quants

OUT = pathlib.Path(__file__).resolve().parent.parent / "src/quant/formats/iq_grids.cpp"

# (class, name, what each code stands for, bits of a code)
GRIDS = [
    (quants.IQ2_XXS, "kIq2XxsGrid", (8, 25, 43), 2),
    (quants.IQ2_XS, "kIq2XsGrid", (8, 25, 43), 2),
    (quants.IQ2_S, "kIq2SGrid", (8, 25, 43), 2),
    (quants.IQ3_XXS, "kIq3XxsGrid", (4, 12, 20, 28, 36, 44, 52, 62), 3),
    (quants.IQ3_S, "kIq3SGrid", (1, 3, 5, 7, 9, 11, 13, 15), 3),
    (quants.IQ1_S, "kIq1Grid", (-1, 0, 1), 2),
]
A_LINE = 14


def entries(kind, values, bits):
    kind.init_grid()
    grid = kind.grid.reshape(kind.grid_shape).astype(int)
    codes = {value: code for code, value in enumerate(values)}
    return [sum(codes[v] << (bits * j) for j, v in enumerate(row)) for row in np.asarray(grid).tolist()]


def main():
    lines = [
        "// Written by tools/make_iq_grids.py; see tables.h.",
        "// Source: the tables of ggml-common.h, through gguf 0.19 (the Python package of llama.cpp's project).",
        "",
        '#include "quant/formats/tables.h"',
        "",
        "namespace polymath::quant {",
        "",
        "// clang-format off",
    ]
    for kind, name, values, bits in GRIDS:
        numbers = entries(kind, values, bits)
        lines.append(f"extern const uint16_t {name}[{len(numbers)}] = {{")
        for i in range(0, len(numbers), A_LINE):
            lines.append("  " + " ".join(f"0x{n:04x}," for n in numbers[i : i + A_LINE]))
        lines.append("};")
    lines += ["// clang-format on", "", "}  // namespace polymath::quant", ""]
    OUT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
