#!/bin/bash
# What can only be seen on a machine with a GPU: the CUDA backend's tests, then the speed of a few shapes.
#   tools/gpu_check.sh BINARIES RESULTS [sanitize]
# BINARIES: a build folder, or any folder with polymath, backend_cuda_test, conformance_models and conformance_invariance
# in it (built elsewhere with the preset cuda-release; no toolkit is needed here, only the driver and libcublasLt.so.13).
# RESULTS: a text file for each part, summary.txt, and the figures of each shape as JSON; bench/results/h200 holds those of
# one H200. sanitize: also compute-sanitizer's memcheck and racecheck (some 20 minutes on one GPU, 7 on four).
# Exit status: 0 if every test passed. A part that takes longer than its limit is ended and counts as failed.
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "usage: tools/gpu_check.sh BINARIES RESULTS [sanitize]" >&2; exit 2; }
binaries=$(realpath "$1")
mkdir -p "$2"
results=$(realpath "$2")
sanitize=${3:-}
export POLYMATH_SOURCE_DIR=$PWD
failed=0

find_binary() { find "$binaries" -name "$1" -type f -perm -u+x | head -1; }
polymath=$(find_binary polymath)
ops=$(find_binary backend_cuda_test)
models=$(find_binary conformance_models)
invariance=$(find_binary conformance_invariance)
for binary in "$polymath" "$ops" "$models" "$invariance"; do
  [ -n "$binary" ] || { echo "gpu_check: polymath, backend_cuda_test, conformance_models or conformance_invariance is missing in $1" >&2; exit 2; }
done

# cuBLASLt may lie where the loader does not look: in a Python package, say.
if ! ldconfig -p | grep -q 'libcublasLt\.so\.13'; then
  lt=$(find /usr/local/cuda*/ /usr/lib /opt -name libcublasLt.so.13 2>/dev/null | head -1)
  [ -z "$lt" ] || export LD_LIBRARY_PATH=$(dirname "$lt")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

say() { echo "$*" | tee -a "$results/summary.txt"; }

# part NAME SECONDS_MAX COMMAND...: its output in NAME.txt, its verdict in the summary.
part() {
  local name=$1 limit=$2 begin=$SECONDS status=0
  shift 2
  timeout "$limit" "$@" >"$results/$name.txt" 2>&1 || status=$?
  say "$name: exit status $status, $((SECONDS - begin)) s" "$(grep -h ' tests ran in ' "$results/$name.txt")"
  return $status
}

: >"$results/summary.txt"
nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv 2>&1 | tee -a "$results/summary.txt"

# in_shares BINARY FILTER [TOOL...]: most of an op's test is the reference's time on one thread, and a sanitizer's is one
# thread's too, so that the tests are dealt to several processes, per_gpu to each GPU, each under the tool. Fails too where
# no test ran.
in_shares() {
  local gpus n status=0 i
  gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
  gpus=$((gpus > 0 ? gpus : 1))
  n=$((per_gpu * gpus))
  n=$(($(nproc) < n ? $(nproc) : n))
  local binary=$1 filter=$2
  shift 2
  local -a processes=()
  for ((i = 0; i < n; ++i)); do
    CUDA_VISIBLE_DEVICES=$((i % gpus)) GTEST_TOTAL_SHARDS=$n GTEST_SHARD_INDEX=$i \
      "$@" "$binary" --gtest_filter="$filter" --gtest_brief=1 \
      >"$results/share_$i.txt" 2>&1 &
    processes+=($!)
  done
  for i in "${processes[@]}"; do wait "$i" || status=1; done
  cat "$results"/share_*.txt
  awk -v n="$n" '/tests? from .* ran\./ {ran += $2} END {print ran + 0, "tests ran in", n, "processes"; exit ran == 0}' \
    "$results"/share_*.txt || status=1
  rm -f "$results"/share_*.txt
  return $status
}
export -f in_shares
export results per_gpu=16
# tests NAME SECONDS_MAX BINARY FILTER [TOOL...]: a part in shares.
tests() {
  local name=$1 limit=$2
  shift 2
  part "$name" "$limit" bash -c 'in_shares "$@"' shares "$@" || failed=1
}
tests ops 120 "$ops" '*'
grep -v ' info ' "$results/ops.txt" | tail -n 30
grep -q 'SKIPPED' "$results/ops.txt" && { say "the op tests were skipped: no usable GPU"; exit 1; }
tests models 180 "$models" '*_cuda'
grep -v ' info ' "$results/models.txt" | tail -n 40

# invariant NAME MODEL TOKENS [dummy]: 200 sequences in random steps, against each alone.
invariant() {
  part "invariance_$1" 120 "$invariance" "$2" cuda 200 "$3" 1 ${4:-} || failed=1
  tail -n 3 "$results/invariance_$1.txt"
}
invariant demo models/polymath-demo 100000
invariant qwen3-30b-a3b bench/shapes/qwen3-30b-a3b 100000 dummy
invariant deepseek-v2-lite bench/shapes/deepseek-v2-lite 100000 dummy

# bench SHAPE: speeds are figures, not tests; a shape that does not fit says so.
bench() {
  part "bench_$1" 60 "$polymath" bench offline "bench/shapes/$1" --load-format dummy --device cuda --input-len 128 \
    --output-len 64 --prefill-len 2048 --batch 1 --batch 8 --batch 32 --batch 128 --output-json "$results/$1.json" || true
  grep -E 'tok/s|memory|loaded' "$results/bench_$1.txt" || tail -n 5 "$results/bench_$1.txt"
}
for shape in qwen1.5-moe-a2.7b qwen3-30b-a3b mixtral-8x7b deepseek-v2-lite olmoe-1b-7b mixtral-8x7b-3l; do
  bench "$shape"
done

if [ "$sanitize" = sanitize ]; then
  tests sanitize_ops 200 "$ops" '*' compute-sanitizer --tool memcheck --error-exitcode 9
  tests sanitize_models 100 "$models" '*_cuda' compute-sanitizer --tool memcheck --error-exitcode 9
  per_gpu=6 # one takes up to 20 GiB of the host's memory, and the GPU is as fast with few
  tests racecheck 2000 "$models" '*_cuda' compute-sanitizer --tool racecheck --error-exitcode 9
  for what in sanitize_ops sanitize_models racecheck; do
    grep -v ' info ' "$results/$what.txt" | tail -n 30
  done
fi
say "$([ $failed -eq 0 ] && echo 'all tests passed' || echo 'SOME TESTS FAILED')"
exit $failed
