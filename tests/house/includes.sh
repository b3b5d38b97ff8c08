#!/usr/bin/env bash
# Checks every #include of the tree at ROOT against layers.txt: includes.sh ROOT [LAYERS]
set -euo pipefail
root=$1
layers=$(realpath "${2:-$(dirname "${BASH_SOURCE[0]}")/layers.txt}")
cd "$root"

files=$(git ls-files --cached --others --exclude-standard -- '*.h' '*.cpp' 2>/dev/null || true)
[ -n "$files" ] || files=$(find . -path ./build -prune -o \( -name '*.h' -o -name '*.cpp' \) -print | sed 's|^\./||')

# shellcheck disable=SC2086
awk -v layers="$layers" '
  function unit_of(path) {
    while (path ~ /\//) {
      sub(/\/[^\/]*$/, "", path)
      if (path in units) return path
    }
    return ""
  }
  function reaches(from, to, seen,   i, n, list) {
    if (from == to) return 1
    if (from in seen) return 0
    seen[from] = 1
    n = split(units[from], list, " ")
    for (i = 1; i <= n; i++) if (reaches(list[i], to, seen)) return 1
    return 0
  }
  function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad++ }
  BEGIN {
    while ((getline line < layers) > 0) {
      if (line ~ /^#/ || line !~ /:/) continue
      name = line; sub(/:.*/, "", name)
      rest = line; sub(/^[^:]*:/, "", rest)
      if (name ~ /^only /) only[substr(name, 6)] = rest
      else units[name] = rest
    }
    for (name in units) {
      n = split(units[name], list, " ")
      for (i = 1; i <= n; i++) if (!(list[i] in units)) { printf "%s: unknown unit %s\n", layers, list[i]; bad++ }
    }
  }
  FNR == 1 {
    unit = unit_of(FILENAME)
    checked++
    if (unit == "" && FILENAME !~ /^(tests|cmake)\//) complain("belongs to no unit of layers.txt")
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    if (unit == "") next
    target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    if (target ~ /^\.\.?\// || target !~ /\//) { if (target !~ /\.inc$/) complain("write includes from the root: " target); next }
    if (unit ~ /^tests\// && target ~ /^tests\//) next
    other = unit_of(target)
    if (other == "") { complain("includes " target ", which belongs to no unit"); next }
    delete seen
    if (!reaches(unit, other, seen)) complain(unit " must not include " target)
  }
  /^[ \t]*#[ \t]*include[ \t]*</ {
    if (unit == "" || unit ~ /^tests\//) next
    target = $0; sub(/^[^<]*/, "", target)
    for (prefix in only) {
      if (index(target, prefix) != 1) continue
      allowed = 0
      n = split(only[prefix], list, " ")
      for (i = 1; i <= n; i++) if (list[i] == unit) allowed = 1
      if (!allowed) complain(unit " must not include " target)
    }
  }
  END {
    if (checked == 0) { print "no files"; bad++ }
    if (bad) exit 1
    printf "%d files keep to the layers\n", checked
  }
' $files
