#!/usr/bin/env bash
# Trains the demo family on one GPU: train_all.sh WORK OUT
#
# Writes OUT/{demo,deepseek,draft,lora-capitals,lora-korean} and OUT/logs; WORK takes the data and the states, and what
# is there is gone on from. Minutes, tokens and options are in the environment, with the defaults below. Stages that
# share the GPU take turns on it; their minutes count the whole process, so a part takes as long as its longest stage.
set -euo pipefail

if [[ $# != 2 ]]; then
  sed -n '2,6p' "$0" >&2
  exit 2
fi
work=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

data_tokens=${DATA_TOKENS:-200000000}
adapter_tokens=${ADAPTER_TOKENS:-10000000}
held_out_tokens=${HELD_OUT_TOKENS:-400000}
row_tokens=${ROW_TOKENS:-2048}
demo_minutes=${DEMO_MINUTES:-7.2}
refine_minutes=${REFINE_MINUTES:-4.7}  # the demo alone on the GPU, from what it is then, at half the rates; 0: not at all
deepseek_minutes=${DEEPSEEK_MINUTES:-7.2}
draft_minutes=${DRAFT_MINUTES:-2.5}
adapter_minutes=${ADAPTER_MINUTES:-1.7}
cases=${CASES:-50}
stages=${STAGES:-"demo deepseek draft lora-capitals lora-korean"}
read -r -a train_options <<< "${TRAIN_OPTIONS:-}"  # of every stage
read -r -a routed_options <<< "${ROUTED_OPTIONS:-}"  # of demo and deepseek

tokenizer=${TOKENIZER:-$work/tokenizer}
mkdir -p "$work" "$out/logs"

# run NAME COMMAND...: its output goes to OUT/logs/NAME.txt, and its end is shown if it fails.
run() {
  local name=$1 started=$SECONDS
  shift
  if ! "$@" > "$out/logs/$name.txt" 2>&1; then
    echo "$name failed after $((SECONDS - started)) s:" >&2
    tail -n 30 "$out/logs/$name.txt" >&2
    return 1
  fi
  echo "$name: $((SECONDS - started)) s"
}

# together COMMAND...: waits for all that was started with &, and fails if one of them did.
together() {
  local status=0 pid
  for pid in "$@"; do
    wait "$pid" || status=1
  done
  return $status
}

wanted() { [[ " $stages " == *" $1 "* ]]; }

data() {  # SOURCE TOKENS
  run "data-$1" "$python" "$here/dataset.py" "$work" --tokenizer "$tokenizer" --source "$1" --tokens "$2" \
    --row-tokens "$row_tokens"
}

train() {  # STAGE MINUTES OPTION...
  local stage=$1 minutes=$2
  shift 2
  run "$stage" "$python" "$here/train.py" "$stage" "$work" "$out/$stage" --minutes "$minutes" \
    --log "$out/logs/$stage.jsonl" "${train_options[@]}" "$@"
}

refine() {
  rm -rf "$out/demo-1"
  mv "$out/demo" "$out/demo-1"
  mkdir -p "$work/refine"
  for source in train held-out; do ln -sfn "$(realpath "$work/$source")" "$work/refine/$source"; done
  run demo-2 "$python" "$here/train.py" demo "$work/refine" "$out/demo" --minutes "$refine_minutes" \
    --log "$out/logs/demo-2.jsonl" --init "$out/demo-1" --matrix-lr 0.01 --adam-lr 0.0015 --balance 0.02 \
    --specialisation 0.01 --seed 2 "${train_options[@]}"
}

tokenizer_to() {
  cp "$tokenizer"/{tokenizer.json,tokenizer_config.json,chat_template.jinja} "$out/$1/"
}

answers() {  # NAME CHECKPOINT OPTION...
  local name=$1 checkpoint=$2
  shift 2
  run "answers-$name" "$python" "$here/compare.py" "$checkpoint" --tokenizer "$tokenizer" --cases "$cases" \
    --out "$out/logs/answers-$name.jsonl" "$@"
}

if [[ ! -f $tokenizer/tokenizer.json ]]; then
  run tokenizer "$python" "$here/make_tokenizer.py" "$tokenizer"
fi
data held-out "$held_out_tokens"
data train "$data_tokens"
for style in capitals korean; do
  if wanted "lora-$style"; then
    data "$style" "$adapter_tokens"
    data "$style-held-out" "$held_out_tokens"
  fi
done

pids=()
if wanted demo; then train demo "$demo_minutes" "${routed_options[@]}" & pids+=($!); fi
if wanted deepseek; then train deepseek "$deepseek_minutes" "${routed_options[@]}" & pids+=($!); fi
together "${pids[@]}"
if wanted demo && [[ $refine_minutes != 0 ]]; then refine; fi

pids=()
if wanted draft; then train draft "$draft_minutes" --demo "$out/demo" & pids+=($!); fi
for style in capitals korean; do
  if wanted "lora-$style"; then
    train "lora-$style" "$adapter_minutes" --demo "$out/demo" & pids+=($!)
  fi
done
together "${pids[@]}"

pids=()
for name in demo deepseek draft; do
  if wanted "$name"; then
    tokenizer_to "$name"
    answers "$name" "$out/$name" & pids+=($!)
  fi
done
for style in capitals korean; do
  if wanted "lora-$style"; then
    answers "lora-$style" "$out/demo" --adapter "$out/lora-$style" --style "$style" & pids+=($!)
  fi
done
together "${pids[@]}"
tail -n 20 "$out"/logs/answers-*.txt
