#!/usr/bin/env bash
# ./dev demo: attention sinks and a sliding window on queries, keys and values of a real model.
#   examples/demo.sh path/to/maskjit
set -euo pipefail
maskjit=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=build/demo
mkdir -p "$out"
spec=(examples/streaming_llm.masker --set window=64)
data=examples/data/minilm_layer3.safetensors
inputs=(--query "$data:query" --key "$data:key" --value "$data:value")

echo "A layer of all-MiniLM-L6-v2 (12 heads of 32) on the first 512 tokens of Moby-Dick, through"
echo "examples/streaming_llm.masker with 4 sinks and a window of 64 keys."
echo
"$maskjit" show "${spec[@]}" --kv-len 512
"$maskjit" show "${spec[@]}" --kv-len 512 --png "$out/mask.png" >"$out/show.txt"
echo
"$maskjit" run "${spec[@]}" "${inputs[@]}" --out "$out/output.npy" --lse "$out/lse.npy" --check
echo
"$maskjit" bench "${spec[@]}" "${inputs[@]}" --seconds 1
echo
echo "The output is $out/output.npy, the mask as a picture $out/mask.png."
