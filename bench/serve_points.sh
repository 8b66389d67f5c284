#!/bin/sh
# Serves MODEL and loads it with closed loops of several sizes, one after the other on one server.
#   bench/serve_points.sh POLYMATH MODEL OUT "CLIENTS ..." PROMPT ANSWER [serve's flags ...]
# OUT gets a JSON file for each number of clients; the table goes to standard output. Warm-up: one answer a client.
set -eu
polymath=$1; model=$2; out=$3; clients=$4; prompt=$5; answer=$6
shift 6
port=${PORT:-8123}
mkdir -p "$out"
"$polymath" serve "$model" --host 127.0.0.1 --port "$port" "$@" > "$out/serve.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
is_ready='import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)'
until python3 -c "$is_ready" "http://127.0.0.1:$port/ready" 2> "$out/ready.err"; do
  kill -0 "$server" 2>/dev/null || { cat "$out/serve.log" >&2; exit 1; }
  sleep 0.2
done
echo "clients  total tok/s  ttft p50 ms  ttft p95 ms  itl p50 ms  itl p95 ms  failed"
for n in $clients; do
  requests=$((n * 4 > 64 ? n * 4 : 64))
  "$polymath" bench serve --port "$port" --num-prompts "$requests" --max-concurrency "$n" --num-warmups "$n" \
    --random-input-len "$prompt" --random-output-len "$answer" --output-json "$out/$prompt-$answer-$n.json" \
    > "$out/$prompt-$answer-$n.txt" 2>&1 || echo "bench serve: status $?"
  python3 - "$out/$prompt-$answer-$n.json" "$n" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
total = r.get("total_token_throughput", 0)
columns = [r.get(k, 0) for k in ("p50_ttft_ms", "p95_ttft_ms", "p50_itl_ms", "p95_itl_ms")]
print(f"{int(sys.argv[2]):7d}  {total:11.0f}  " + "  ".join(f"{c:10.1f}" for c in columns) + f"  {r.get('failed', 0):6d}")
PY
done
