#!/usr/bin/env bash
# build/portable -> build/portable/maskjit: a folder that runs wherever it is copied to. Every shared library comes along
# except those of glibc; they are found by the run path of the program and of libmaskjit.so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=build/portable/maskjit
rm -rf "$target"
cmake --install build/portable --strip --prefix "$target"
ldd build/portable/bin/maskjit | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | while read -r name path; do
  case "$name" in
    libc.so.*|libm.so.*|libdl.so.*|libpthread.so.*|librt.so.*|libmaskjit.so*) continue ;;
  esac
  install -m 755 "$(realpath "$path")" "$target/lib/$name"
  strip --strip-unneeded "$target/lib/$name"
done
cp LICENSE "$target/"

# It works elsewhere, without anything of this environment.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$target" "$copy/moved"
run() { (cd / && env -i MASKJIT_CACHE=off "$@"); }
run "$copy/moved/bin/maskjit" --version
run "$copy/moved/bin/maskjit" show causal --kv-len 8
run "$copy/moved/bin/maskjit" compile causal --emit=asm -o /dev/null
run "$copy/moved/bin/maskjit" bench causal --kv-len 128 --runs 3

# A program can be built with it.
mkdir "$copy/program"
cp examples/cpp/streaming_llm.cpp "$copy/program/"
cat >"$copy/program/CMakeLists.txt" <<'TXT'
cmake_minimum_required(VERSION 3.25)
project(program CXX)
find_package(maskjit REQUIRED)
add_executable(program streaming_llm.cpp)
target_link_libraries(program PRIVATE maskjit::maskjit)
TXT
cmake -S "$copy/program" -B "$copy/program/build" -DCMAKE_PREFIX_PATH="$copy/moved" \
  -DCMAKE_CXX_COMPILER=clang++-22 -DCMAKE_BUILD_TYPE=Release
cmake --build "$copy/program/build"
run "$copy/program/build/program"

# So can the operators for torch, where there is one.
bash runtime/torch/standalone_test.sh "$copy/moved" || (($? == 77))

# Nothing comes from outside of the folder but glibc, no name of LLVM is visible, and it is small.
foreign=$(env -i ldd "$copy/moved/bin/maskjit" | awk -v own="$copy/moved/" \
  '$2 == "=>" && index($3, own) != 1 && $1 !~ /^(libc|libm|libdl|libpthread|librt)\.so/ { print }')
[ -z "$foreign" ] || { echo "libraries from outside of the folder: $foreign"; exit 1; }
visible=$(nm -D -C --defined-only "$copy/moved/lib/libmaskjit.so" | cut -d' ' -f3- |
  grep -vE '^((typeinfo|typeinfo name|vtable|guard variable) for )?maskjit::' || true)
[ -z "$visible" ] || { echo "libmaskjit.so shows names that are not its own: $visible"; exit 1; }
size=$(du -sm "$target" | cut -f1)
((size < 60)) || { echo "the folder has $size MB; 60 are allowed"; exit 1; }
