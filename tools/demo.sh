#!/bin/bash
# Starts the server, talks to it as any OpenAI client would, and stops it: tools/demo.sh <model folder>
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${POLYMATH:-build/cpu-release/polymath}
model=${1:-}
ready_seconds_max=120  # a server that is not ready by then is said to have failed
stop_seconds_max=30    # a server that has not drained by then is killed, and the demo fails

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

[ -n "$model" ] && [ -d "$model" ] || fail "no such model folder: \"$model\""
[ -x "$binary" ] || fail "$binary is not built: make build"

log=$(mktemp)
server=""
cleanup() {
  if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; fi
  rm -f "$log"
}
trap cleanup EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port

say "polymath serve $model --host 127.0.0.1 --port $port"
"$binary" serve "$model" --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
server=$!

deadline=$((SECONDS + ready_seconds_max))
until curl -fsS -o /dev/null --max-time 2 "$url/ready" 2>/dev/null; do
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; server=""; fail "the server ended before it was ready"; }
  [ $SECONDS -lt $deadline ] || { cat "$log" >&2; fail "not ready after $ready_seconds_max seconds"; }
  sleep 0.1
done
tail -n 5 "$log"

say "curl $url/health"
curl -sS --fail -w 'HTTP %{http_code}\n' "$url/health"

name=$(curl -sS --fail "$url/v1/models" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])')

say "a story and some questions, streamed (the page at $url/ shows them live)"
python3 tools/demo.py "$url" "$name"

say "SIGTERM: the server drains and ends"
kill -TERM "$server"
for _ in $(seq $((stop_seconds_max * 10))); do
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$server" 2>/dev/null && fail "still running $stop_seconds_max seconds after SIGTERM"
status=0
wait "$server" || status=$?
server=""
[ "$status" -eq 0 ] || { tail -n 20 "$log" >&2; fail "the server ended with status $status"; }
echo "ended with status 0"
