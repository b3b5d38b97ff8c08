#!/usr/bin/env bash
# The C++ program of the README is examples/cpp/streaming_llm.cpp, and every file that it links to exists: readme.sh ROOT
set -euo pipefail
cd "$1"
awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >"${TMPDIR:-/tmp}/maskjit_readme.$$"
trap 'rm -f "${TMPDIR:-/tmp}/maskjit_readme.$$"' EXIT
[ -s "${TMPDIR:-/tmp}/maskjit_readme.$$" ] || { echo "README.md has no C++ program"; exit 1; }
diff -u examples/cpp/streaming_llm.cpp "${TMPDIR:-/tmp}/maskjit_readme.$$"
missing=0
while read -r link; do
  [ -e "$link" ] || { echo "README.md links to $link, which does not exist"; missing=1; }
done < <(sed '/^```/,/^```$/d' README.md | grep -oE '\]\([^)#]+' | sed 's/^](//' | grep -vE '^https?:')
exit $missing
