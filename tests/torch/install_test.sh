#!/usr/bin/env bash
# The package that a build leaves behind can be installed by pip, and works from there: install_test.sh PYTHON PACKAGE
set -euo pipefail
python=$1 package=$2
"$python" -c 'import setuptools' 2>/dev/null || { echo "skipped: $python has no setuptools"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r "$package" "$scratch/package"  # pip builds in place
"$python" -m pip install --quiet --no-index --no-deps --no-build-isolation --no-compile --target "$scratch/site" "$scratch/package"
cd "$scratch"
PYTHONPATH="$scratch/site" "$python" - "$scratch/site" <<'PY'
import pathlib, sys

import maskjit, torch

assert maskjit.LIBRARY_PATH.is_relative_to(sys.argv[1]), maskjit.LIBRARY_PATH
assert (pathlib.Path(sys.argv[1]) / "maskjit" / "py.typed").exists()
q = torch.randn(1, 4, 33, 16)
want = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
error = (maskjit.compile("causal")(q, q, q) - want).abs().max().item()
assert error < 1e-5, error
print("installed from", maskjit.LIBRARY_PATH)
PY
# refused ENVIRONMENT... : importing the package says what `expected` is.
refused() {
  local message
  if message=$(env PYTHONPATH="$scratch/site" "$@" "$python" -c 'import maskjit' 2>&1); then echo "imported, but: $expected"; exit 1; fi
  grep -q "$expected" <<<"$message" || { echo "expected: $expected"; echo "$message"; exit 1; }
}
sed -i 's/TORCH_VERSION = .*/TORCH_VERSION = "1.2.3"/' site/maskjit/_build.py
expected='ImportError: .* is built against torch 1.2.3, but this Python has torch' refused
expected="ImportError: maskjit's library nowhere.so does not exist" refused MASKJIT_TORCH_LIBRARY=nowhere.so
