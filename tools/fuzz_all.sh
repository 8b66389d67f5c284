#!/bin/bash
# Builds every fuzz target and runs each for some seconds over its corpus: tools/fuzz_all.sh [seconds] [name...]
# 0 seconds: only the inputs of the repository's corpus. As many targets run at once as there are cores.
# New inputs go to build/fuzz/corpus/<name>; what crashed a target to build/fuzz/crashes. The repository is not written to.
set -euo pipefail
cd "$(dirname "$0")/.."

export seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
export input_bytes_max=65536  # longer inputs are not tried
export rss_mb_max=2048        # a target that takes more has failed
export run_seconds_max=10     # an input that takes longer has failed

run_target() {  # NAME: a failure leaves its name in the file `failed`
  local name=$1 found=build/fuzz/corpus/$1 seeds=() dictionary=() span=("-max_total_time=$seconds")
  mkdir -p "$found"
  [ -d "fuzz/corpus/$name" ] && seeds=("fuzz/corpus/$name")
  [ -f "fuzz/$name.dict" ] && dictionary=("-dict=fuzz/$name.dict")
  if [ "$seconds" = 0 ]; then
    span=(-runs=0)
    found=$(mktemp -d)  # of earlier runs, nothing
  fi
  local output
  output=$(build/fuzz/fuzz/"${name}_fuzz" "${span[@]}" -max_len=$input_bytes_max -rss_limit_mb=$rss_mb_max \
    -timeout=$run_seconds_max -artifact_prefix="build/fuzz/crashes/$name-" -print_final_stats=1 "${dictionary[@]}" \
    "$found" "${seeds[@]}" 2>&1) || echo "$name" >>build/fuzz/failed
  printf -- '--- %s for %s s\n%s\n' "$name" "$seconds" "$(tail -n 25 <<<"$output")"
}
export -f run_target

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in fuzz/*_fuzz.cpp; do names+=("$(basename "$source" _fuzz.cpp)"); done
fi
cmake --preset fuzz
cmake --build --preset fuzz --target "${names[@]/%/_fuzz}"
mkdir -p build/fuzz/crashes
: >build/fuzz/failed
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run_target {}'
[ ! -s build/fuzz/failed ] || { echo "fuzz: failed: $(tr '\n' ' ' <build/fuzz/failed)" >&2; exit 1; }
