#!/usr/bin/env python3
"""Writes the measured part of models/README.md and the picture of the experts from what evaluate.py measured.

    report.py models/README.md demo=demo.json deepseek=deepseek.json [draft=draft.json ...]

The part between the two markers is replaced; the text around it is written by hand.
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  the backend is chosen before

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PICTURE = "experts.png"
TOP_EXPERTS = 2  # "specialised" is said of the share of the busiest two


def percent(row):
    return f"{row['right'] / row['of']:.1%} ({row['right']}/{row['of']})" if row and row["of"] else "-"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def accuracy_table(reports):
    names = list(dict.fromkeys(name for report in reports.values() for name in report["accuracy"]))
    rows = [[name, *(percent(report["accuracy"].get(name)) for report in reports.values())] for name in names]
    whole = ["all domains"]
    for report in reports.values():
        kept = [row for name, row in report["accuracy"].items() if not name.startswith("style")]
        whole.append(percent({"right": sum(r["right"] for r in kept), "of": sum(r["of"] for r in kept)}))
    return table(["held-out answers, exact match", *reports], [*rows, whole])


def perplexity_table(reports):
    names = next(iter(reports.values()))["perplexity"]
    return table(["perplexity of the expected answers", *reports],
                 [[name, *(report["perplexity"][name] for report in reports.values())] for name in names])


def busiest(layers):
    """(share, layer, experts) of the layer whose busiest experts take the most."""
    best = (0.0, 0, [])
    for i, shares in enumerate(layers):
        order = sorted(range(len(shares)), key=lambda e: -shares[e])[:TOP_EXPERTS]
        best = max(best, (sum(shares[e] for e in order), i, order))
    return best


def experts_table(report):
    rows = []
    for domain, layers in report["expert_shares"].items():
        share, layer, experts = busiest(layers)
        rows.append([domain, layer, " and ".join(map(str, experts)), f"{share:.0%}"])
    return table(["domain", "layer", "its two busiest experts", "share of the layer's choices"], rows)


def acceptance_table(report):
    ks = list(report["acceptance"])
    names = list(report["acceptance"][ks[0]])
    return table(["proposed tokens accepted", *(f"{k} at a time" for k in ks)],
                 [[name, *(f"{report['acceptance'][k][name]:.1%}" for k in ks)] for name in names])


def draw_experts(report, path):
    """A panel for each layer: domains down, experts across, dark where the domain's tokens go."""
    domains = list(report["expert_shares"])
    n_layers = len(report["expert_shares"][domains[0]])
    figure, axes = plt.subplots(1, n_layers, figsize=(2.2 * n_layers + 1.2, 2.6), sharey=True, squeeze=False)
    for layer, axis in enumerate(axes[0]):
        rows = [report["expert_shares"][domain][layer] for domain in domains]
        image = axis.imshow(rows, cmap="Blues", vmin=0, vmax=0.5, aspect="auto")
        axis.set_title(f"layer {layer}", fontsize=9)
        axis.set_xticks(range(len(rows[0])))
        axis.tick_params(labelsize=7)
    axes[0][0].set_yticks(range(len(domains)), domains)
    figure.supxlabel("expert", fontsize=9, y=-0.1)
    figure.colorbar(image, ax=axes[0].tolist(), label="share of the choices", fraction=0.03, pad=0.01)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def measured(reports):
    parts = [accuracy_table(reports), perplexity_table(reports)]
    for name, report in reports.items():
        if "acceptance" in report:
            parts.append(acceptance_table(report))
    first = next(iter(reports.values()))
    if "expert_shares" in first:
        parts += [experts_table(first), f"![Which experts serve which domain]({PICTURE})"]
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readme", type=pathlib.Path)
    parser.add_argument("reports", nargs="+", help="name=file.json, the demo model's first")
    args = parser.parse_args()
    reports = {}
    for item in args.reports:
        name, path = item.split("=", 1)
        reports[name] = json.loads(pathlib.Path(path).read_text())
    text = args.readme.read_text()
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    args.readme.write_text(f"{head}{BEGIN}\n{measured(reports)}\n{END}{tail}")
    if "expert_shares" in next(iter(reports.values())):
        draw_experts(next(iter(reports.values())), args.readme.parent / PICTURE)


if __name__ == "__main__":
    main()
