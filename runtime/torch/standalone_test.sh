#!/usr/bin/env bash
# The operators for torch build on their own, with the machine's compiler, on top of a portable folder, and the package
# carries all that it needs: standalone_test.sh FOLDER. Exit status 77: there is no torch.
set -euo pipefail
portable=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=
for candidate in "$PWD/build/venv/bin/python" python3; do
  if "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || { echo "skipped: no Python has torch"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake -S runtime/torch -B "$scratch/build" -DCMAKE_PREFIX_PATH="$portable" -DMASKJIT_PYTHON="$python"
cmake --build "$scratch/build"
mv "$scratch/build/python" "$scratch/python"
rm -rf "$scratch/build"
cd "$scratch"
env -i MASKJIT_CACHE=off PYTHONPATH="$scratch/python" "$python" - <<'PY'
import maskjit, torch

q = torch.randn(1, 4, 33, 16)
want = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
assert (maskjit.compile("causal")(q, q, q) - want).abs().max() < 1e-5
with open("/proc/self/maps", encoding="utf-8") as maps:
    libraries = {line.split()[-1] for line in maps if "/lib/libmaskjit" in line}
assert len(libraries) == 2 and all(str(maskjit.LIBRARY_PATH.parent) in name for name in libraries), libraries
print("built alone, runs with", sorted(libraries))
PY
