#!/usr/bin/env python3
"""promtool on the alerts that `polymath deploy` renders, and on the dashboard's queries; exits with 77 (skipped) without promtool or PyYAML.

python3 tests/alerts/run.py [repository]     Debian: prometheus, python3-yaml
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import yaml
except ImportError:
    yaml = None

root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]


def rules(example):
    """The groups of the example's PrometheusRule, as Prometheus itself reads them."""
    with open(example, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    (rule,) = [d for d in documents if d["kind"] == "PrometheusRule"]
    return {"groups": rule["spec"]["groups"]}


def queries(dashboard):
    """A dashboard's queries as recording rules, which promtool checks."""
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    rows = []
    for target in (target for panel in panels for target in panel.get("targets", ())):
        text = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*").replace("$model", ".*")
        rows.append({"record": f"panel:query{len(rows)}", "expr": text})
    return {"groups": [{"name": dashboard.stem, "rules": rows}]}


def main():
    promtool = shutil.which("promtool")
    if promtool is None or yaml is None:
        print("skipped: no promtool or no PyYAML")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for example in sorted((root / "deploy/kubernetes/examples").glob("*.yaml")):
            path = Path(folder) / "rules.yaml"
            path.write_text(yaml.safe_dump(rules(example)), encoding="utf-8")
            print(example.name, flush=True)
            subprocess.run([promtool, "check", "rules", str(path)], check=True)
        for dashboard in sorted((root / "deploy/grafana").glob("*.json")):
            path.write_text(yaml.safe_dump(queries(dashboard)), encoding="utf-8")
            print(dashboard.name, flush=True)
            subprocess.run([promtool, "check", "rules", str(path)], check=True)
        path.write_text(yaml.safe_dump(rules(root / "deploy/kubernetes/examples/mixtral-8x7b.yaml")), encoding="utf-8")
        tests = shutil.copy(root / "deploy/prometheus/alerts_test.yaml", folder)
        return subprocess.run([promtool, "test", "rules", str(tests)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
