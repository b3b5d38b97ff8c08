#!/bin/bash
# make_images.sh [MASKJIT]: draws the pictures of README.md, by the maskjit program given or found.
set -euo pipefail
maskjit=$(realpath "$(command -v "${1:-maskjit}")")
cd "$(dirname "$0")"

# draw NAME [PARAMETER=VALUE | TENSOR=FILE.npy]...: 64 queries, 64 keys, tiles of 8 x 8.
queries=64
tile=8
draw() {
  local name=$1 argument
  shift
  local options=(--q-len "$queries" --kv-len 64 --tile-q "$tile" --tile-k "$tile")
  options+=(--png "images/$name.png")
  for argument in "$@"; do
    case $argument in
      *.npy) options+=(--tensor "${argument/=/=data/}") ;;
      *) options+=(--set "$argument") ;;
    esac
  done
  "$maskjit" show "$name.masker" "${options[@]}" > /dev/null
}

draw causal
draw sliding_window window=16
draw dilated_window count=4 step=4
draw strided_sparse stride=8
draw chunked size=16
draw streaming_llm sinks=4 window=16
draw longformer window=12 flag=flag.npy
draw prefix_lm prefix=24
draw prefix_lm_batch prefix=prefix.npy length=length.npy
draw block_diffusion block=8

draw packed_documents document=document.npy
draw packed_documents_full document=document.npy
draw shared_prefix part=document.npy
draw batchify_lengths length=16 prefix=6
draw batchify_documents document=document.npy start=start.npy prefix=document_prefix.npy
draw flamingo tokens=16 image=image.npy

draw natten_1d kernel=13
draw natten_2d height=8 width=8 kernel=3
draw natten_3d depth=4 height=4 width=4 kernel_depth=3 kernel=3
draw natten_2d_tiled height=8 width=8 tile=4 kernel=3
draw natten_3d_tiled depth=2 height=8 width=4 tile_depth=1 tile=4 kernel_depth=1 kernel=3
draw natten_2d_morton size=8 kernel=3
draw natten_3d_morton size=4 kernel=3

tile=4
draw sliding_tile_2d down=4 across=4 area="$tile" window=3
tile=2
draw sliding_tile_3d deep=2 down=4 across=4 volume="$tile" window_depth=1 window=3
tile=8

queries=32
draw tree_intervals enter=enter.npy exit=exit.npy
draw tree_bits ancestors=ancestors.npy
queries=64

draw alibi
draw softcap
draw relative_bias table=relative_table.npy
draw t5_bias table=bucket_table.npy
draw graph_bias distance=graph.npy bias=edges_table.npy
