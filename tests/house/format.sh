#!/usr/bin/env bash
# Every .masker file of examples is formatted and correct: format.sh MASKJIT ROOT
set -euo pipefail
cd "$2"
mapfile -t files < <(find examples -name '*.masker' | sort)
((${#files[@]} > 0)) || { echo "no examples"; exit 1; }
"$1" fmt --check "${files[@]}"
"$1" check "${files[@]}"
