#!/usr/bin/env bash
# includes.sh finds what it is there to find.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/masker_dsl/ir" "$tree/masker_dsl/parse" "$tree/masker_dsl/check" "$tree/codegen/lower" "$tree/odd"

# expect CODE TEXT: runs the check on the tree.
expect() {
  local code=0 output
  output=$(bash "$here/includes.sh" "$tree" 2>&1) || code=$?
  if [ "$code" != "$1" ] || [[ $output != *"$2"* ]]; then
    printf 'expected code %s and "%s", got %s:\n%s\n' "$1" "$2" "$code" "$output"
    exit 1
  fi
}

echo '#include "masker_dsl/ir/types.h"' >"$tree/masker_dsl/check/a.cpp"
echo '#include "masker_dsl/source/source.h"' >>"$tree/masker_dsl/check/a.cpp"
echo '#include <llvm/IR/Module.h>' >"$tree/codegen/lower/a.cpp"
expect 0 "2 files keep to the layers"

echo '#include "masker_dsl/parse/ast.h"' >"$tree/masker_dsl/ir/a.cpp"
expect 1 "masker_dsl/ir/a.cpp:1: masker_dsl/ir must not include masker_dsl/parse/ast.h"
echo '#include <llvm/IR/Module.h>' >"$tree/masker_dsl/ir/a.cpp"
expect 1 "masker_dsl/ir/a.cpp:1: masker_dsl/ir must not include <llvm/IR/Module.h>"
echo '#include "types.h"' >"$tree/masker_dsl/ir/a.cpp"
expect 1 "write includes from the root: types.h"
echo >"$tree/masker_dsl/ir/a.cpp"
echo 'int x;' >"$tree/odd/a.cpp"
expect 1 "odd/a.cpp:1: belongs to no unit"
rm "$tree"/odd/a.cpp "$tree"/*/*/a.cpp
expect 1 "no files"
echo "includes.sh finds every kind of violation"
