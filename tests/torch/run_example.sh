#!/usr/bin/env bash
# An example that checks itself: run_example.sh PYTHON MODULE SCRIPT [ARGUMENT...]. Skipped where Python lacks the module.
set -euo pipefail
python=$1 module=$2
shift 2
"$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
  { echo "skipped: $python has no $module"; exit 77; }
exec "$python" "$@"
