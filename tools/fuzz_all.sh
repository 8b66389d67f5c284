#!/bin/bash
# Builds every fuzz target and runs each for some seconds over its corpus: tools/fuzz_all.sh [seconds] [name...]
# 0 seconds: only the inputs of the repository's corpus.
# New inputs go to build/fuzz/corpus/<name>; what crashed a target to build/fuzz/crashes. The repository is not written to.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
input_bytes_max=65536  # longer inputs are not tried
rss_mb_max=2048        # a target that takes more has failed
run_seconds_max=10     # an input that takes longer has failed

cmake --preset fuzz
cmake --build --preset fuzz --target fuzzers
mkdir -p build/fuzz/crashes
failed=()
for source in fuzz/*_fuzz.cpp; do
  target=$(basename "$source" .cpp)
  name=${target%_fuzz}
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  found=build/fuzz/corpus/$name
  mkdir -p "$found"
  seeds=()
  [ -d "fuzz/corpus/$name" ] && seeds=("fuzz/corpus/$name")
  dictionary=()
  [ -f "fuzz/$name.dict" ] && dictionary=("-dict=fuzz/$name.dict")
  echo "--- $name for $seconds s"
  span=("-max_total_time=$seconds")
  if [ "$seconds" = 0 ]; then
    span=(-runs=0)
    found=$(mktemp -d)  # of earlier runs, nothing
  fi
  build/fuzz/fuzz/"$target" "${span[@]}" -max_len=$input_bytes_max -rss_limit_mb=$rss_mb_max \
    -timeout=$run_seconds_max -artifact_prefix="build/fuzz/crashes/$name-" -print_final_stats=1 "${dictionary[@]}" \
    "$found" "${seeds[@]}" 2>&1 | tail -n 25 || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: failed: ${failed[*]}" >&2; exit 1; }
