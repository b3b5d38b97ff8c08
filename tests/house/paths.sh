#!/usr/bin/env bash
# No tracked text file names a folder of somebody's machine: paths.sh ROOT. (/home/someone is nobody's.)
set -euo pipefail
cd "$1"
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "not a git checkout: nothing to check"; exit 0; }
pattern='(^|[^A-Za-z0-9._~-])/(home|root|work|farm|Users|mnt|opt|srv)/[A-Za-z0-9._-]'
# The pattern finds what it should and nothing else.
grep -qE "$pattern" <<<'x = "/home/somebody/x"'
if grep -qE "$pattern" <<<'masker_dsl/work/x and https://example.org/home/x'; then exit 1; fi
if git grep -nIE "$pattern" -- . ':!tests/house/paths.sh' | grep -v '"/home/someone'; then
  echo "these lines name folders of one machine"
  exit 1
fi
echo "no machine paths"
