#!/usr/bin/env bash
# Puts what train_all.sh made into models/ and measures it with the engine: measure.sh OUT POLYMATH
#
# Starts `polymath serve` on the demo, its draft and the DeepSeek form, asks the held-out questions, and writes the
# tables and the picture of models/README.md.
set -euo pipefail

if [[ $# != 2 ]]; then
  sed -n '2,5p' "$0" >&2
  exit 2
fi
out=$1 polymath=$2
here=$(cd "$(dirname "$0")" && pwd)
models=$here/../../models
python=${PYTHON:-python3}
cases=${CASES:-500}
ready_seconds_max=60

install() {  # NAME DIRECTORY
  [[ -d $out/$1 ]] || return 0
  mkdir -p "$models/$2"
  cp "$out/$1"/* "$models/$2/"
  chmod 644 "$models/$2"/*
}

install demo polymath-demo
install draft polymath-demo-draft
install deepseek polymath-demo-deepseek
install lora-capitals polymath-demo-lora-capitals
install lora-korean polymath-demo-lora-korean

work=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

serve() {  # NAME PORT
  "$polymath" serve "$models/$1" --host 127.0.0.1 --port "$2" > "$work/$1.log" 2>&1 &
  servers+=($!)
  for _ in $(seq $((ready_seconds_max * 10))); do
    if curl -fsS -o /dev/null "http://127.0.0.1:$2/ready" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  cat "$work/$1.log" >&2
  return 1
}

serve polymath-demo 8101
serve polymath-demo-draft 8102
serve polymath-demo-deepseek 8103
"$python" "$here/evaluate.py" http://127.0.0.1:8101 --draft http://127.0.0.1:8102 --cases "$cases" --out "$work/demo.json"
"$python" "$here/evaluate.py" http://127.0.0.1:8103 --cases "$cases" --out "$work/deepseek.json"
"$python" "$here/report.py" "$models/README.md" polymath-demo="$work/demo.json" \
  polymath-demo-deepseek="$work/deepseek.json"
