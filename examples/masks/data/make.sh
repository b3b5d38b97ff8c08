#!/bin/bash
# Writes the tensors that the pictures of the gallery use, as .npy files of version 1.0.
set -euo pipefail
cd "$(dirname "$0")"

# npy NAME DTYPE BYTES SHAPE VALUE...: integers of BYTES bytes each, little-endian.
npy() {
  local name=$1 dtype=$2 bytes=$3 shape=$4
  shift 4
  local header="{'descr': '$dtype', 'fortran_order': False, 'shape': ($shape), }"
  # Magic, version and length are 10 bytes; all of it with the line end is 128.
  header=$(printf '%-117s' "$header")
  {
    printf '\x93NUMPY\x01\x00\x76\x00%s\n' "$header"
    local value i
    for value in "$@"; do
      for ((i = 0; i < bytes; ++i)); do
        printf "\\x$(printf '%02x' $(((value >> (8 * i)) & 255)))"
      done
    done
  } > "$name.npy"
}

# repeat COUNT VALUE [COUNT VALUE ...]
repeat() {
  while (($# > 0)); do
    for ((n = 0; n < $1; ++n)); do printf '%d ' "$2"; done
    shift 2
  done
}

# Documents of 17, 9, 22 and 16 positions; the first is the prompt in shared_prefix.
npy document '<i4' 4 '1, 64' $(repeat 17 0 9 1 22 2 16 3)
npy start '<i4' 4 '1, 64' $(repeat 17 0 9 17 22 26 16 48)
npy document_prefix '<i4' 4 '1, 64' $(repeat 17 5 9 0 22 9 16 4)

# One sequence of 56 positions with a prefix of 20.
npy prefix '<i4' 4 '1,' 20
npy length '<i4' 4 '1,' 56

# Global positions 0, 1 and 40.
npy flag '|b1' 1 '1, 64' $(repeat 2 1 38 0 1 1 23 0)

# Images before text positions 6, 20, 37 and 50.
npy image '<i4' 4 '1, 64' $(repeat 6 0 14 1 17 2 13 3 14 4)

# A tree of 32 nodes in the order of a depth-first walk, by the parent of each (-1: a root).
parents=(-1 0 1 1 0 4 4 6 0 8 9 10 9 12 -1 14 15 15 17 14 19 20 20 22 14 24 25 26 25 28 24 30)
nodes=${#parents[@]}
ancestors=() sizes=()
for ((i = 0; i < nodes; ++i)); do
  parent=${parents[i]}
  ancestors[i]=$((1 << i))
  if ((parent >= 0)); then ((ancestors[i] |= ancestors[parent])); fi
  sizes[i]=1
done
for ((i = nodes - 1; i > 0; --i)); do
  parent=${parents[i]}
  if ((parent >= 0)); then ((sizes[parent] += sizes[i])); fi
done
enter=() exit=()
for ((i = 0; i < nodes; ++i)); do
  enter[i]=$i
  exit[i]=$((i + sizes[i]))
done
npy ancestors '<i8' 8 "1, $nodes" "${ancestors[@]}"
npy enter '<i4' 4 "1, $nodes" "${enter[@]}"
npy exit '<i4' 4 "1, $nodes" "${exit[@]}"

# f32 N...: the bits of N / 4.
f32() {
  local n size exponent
  for n in "$@"; do
    size=${n#-}
    if ((size == 0)); then
      printf '0 '
      continue
    fi
    exponent=0
    while ((size >> (exponent + 1) > 0)); do ((++exponent)); done
    printf '%d ' $(((n < 0) << 31 | (exponent - 2 + 127) << 23 | (size << (23 - exponent) & 0x7fffff)))
  done
}

# One head's biases that fall by 1/4 a step: by distance, by bucket, by edges.
npy relative_table '<f4' 4 '1, 65' $(f32 {-32..0} {-1..-32})
npy bucket_table '<f4' 4 '1, 32' $(f32 {0..-31})
npy edges_table '<f4' 4 '1, 64' $(f32 {0..-63})

# A ring of 40 nodes and a path of 24, with no edge between them.
distances=()
for ((i = 0; i < 64; ++i)); do
  for ((j = 0; j < 64; ++j)); do
    along=$((i > j ? i - j : j - i))
    if (((i < 40) != (j < 40))); then
      along=-1
    elif ((i < 40 && along > 20)); then
      along=$((40 - along))
    fi
    distances+=("$along")
  done
done
npy graph '|i1' 1 '1, 64, 64' "${distances[@]}"
