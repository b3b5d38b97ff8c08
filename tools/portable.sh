#!/usr/bin/env bash
# build/portable -> build/portable/maskjit: a folder that runs wherever it is copied to. Every shared library of the program
# comes along except those of glibc, found by the program's run path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=build/portable/maskjit
rm -rf "$target"
cmake --install build/portable --strip --prefix "$target"
mkdir -p "$target/lib"
ldd build/portable/bin/maskjit | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | while read -r name path; do
  case "$name" in
    libc.so.*|libm.so.*|libdl.so.*|libpthread.so.*|librt.so.*|ld-linux*) continue ;;
    libmaskjit.so*) continue ;;
  esac
  install -m 755 "$(realpath "$path")" "$target/lib/$name"
  strip --strip-unneeded "$target/lib/$name"
done
cp LICENSE "$target/"

# It runs elsewhere, without anything of this environment, and finds nothing but its own libraries and glibc.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$target" "$copy/moved"
run() { (cd / && env -i MASKJIT_CACHE=off "$copy/moved/bin/maskjit" "$@"); }
run --version
run show causal --kv-len 8
run compile causal --emit=asm -o /dev/null
run bench causal --kv-len 128 --runs 3
foreign=$(env -i ldd "$copy/moved/bin/maskjit" | awk -v own="$copy/moved/" \
  '$2 == "=>" && index($3, own) != 1 && $1 !~ /^(libc|libm|libdl|libpthread|librt)\.so/ { print }')
[ -z "$foreign" ] || { echo "libraries from outside of the folder: $foreign"; exit 1; }
size=$(du -sm "$target" | cut -f1)
((size < 60)) || { echo "the folder has $size MB; 60 are allowed"; exit 1; }
