#!/usr/bin/env python3
"""Counts the instructions of compile stages and dispatch by callgrind, beside bounds: ./dev bench instructions

Counts do not depend on what else the machine does, and vary by less than a percent from run to run. A count over its bound
fails; --update writes bounds of 10 % above the counts of this build. A stage of less than 1 % of its compile is shown without a
bound: its count follows the addresses of the process more than the code, and the compile's bound holds it.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BOUNDS = HERE / "bounds.json"
MARGIN = 1.10
SMALL_STAGE = 0.01
SKIPPED = 77
#: The functions whose inclusive counts are the stages of a compile; of "codegen" each compile has one.
STAGES = {
    "link": "maskjit::codegen::link_template",
    "lower": "maskjit::codegen::specialise",
    "optimise": "maskjit::codegen::optimize",
    "codegen": "maskjit::codegen::emit_(?:object|assembly)",
    "load": "maskjit::codegen::load",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", type=pathlib.Path, default=HERE.parents[2] / "build/release/tests/bench/instructions/instructions_probe")
    parser.add_argument("--update", action="store_true", help="write new bounds")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: there is no valgrind (Debian package valgrind)")
        return SKIPPED
    toolchain = toolchain_of(given.probe)
    counts = count(given.probe)
    known = json.loads(BOUNDS.read_text(encoding="utf-8")) if BOUNDS.exists() else {"toolchain": "", "bounds": {}}
    over = show(counts, known["bounds"])
    if given.update:
        bounds = {name: round_up(value * MARGIN) for name, value in counts.items() if is_bounded(name, counts)}
        BOUNDS.write_text(json.dumps({"toolchain": toolchain, "bounds": bounds}, indent=1) + "\n", encoding="utf-8")
        print(f"written: {BOUNDS}")
        return 0
    if known["toolchain"] != toolchain:
        print(f"skipped: the bounds are of {known['toolchain'] or 'no toolchain'}, this build is of {toolchain}")
        return SKIPPED
    if over:
        print(f"over its bound: {', '.join(over)}")
        return 1
    return 0


def count(probe: pathlib.Path) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", str(probe), f"{folder}/cache"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        counts: dict[str, int] = {}
        for dump in sorted(pathlib.Path(folder).glob("callgrind.out.*"), key=lambda path: int(path.suffix[1:])):
            text = dump.read_text(encoding="utf-8", errors="replace")
            label = re.search(r"^desc: Trigger: Client Request: (.*)/(\d+)$", text, re.MULTILINE)
            total = re.search(r"^totals: (\d+)", text, re.MULTILINE)
            if not label or not total:
                continue
            name, times = label.group(1), int(label.group(2))
            counts[name] = int(total.group(1)) // times
            if name.startswith("compile"):
                counts.update({f"{name}: {stage}": value for stage, value in stages(dump).items()})
        if not counts:
            sys.exit("callgrind wrote no counts")
        return counts


def stages(dump: pathlib.Path) -> dict[str, int]:
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", str(dump)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for stage, function in STAGES.items():
        match = re.search(rf"^\s*([\d,]+)\s+\S+:{function}(?:\[abi:cxx11\])?\(", text, re.MULTILINE)
        if match:
            found[stage] = int(match.group(1).replace(",", ""))
    return found


def show(counts: dict[str, int], bounds: dict[str, int]) -> list[str]:
    over = []
    print(f"{'':36} {'instructions':>14} {'bound':>14}")
    for name, value in counts.items():
        bound = bounds.get(name)
        print(f"{name:36} {value:14,} {'' if bound is None else format(bound, ','):>14}")
        if bound is not None and value > bound:
            over.append(f"{name} ({value / bound - 1:.1%} over)")
    missing = [name for name in bounds if name not in counts]
    return over + [f"{name} (not counted any more)" for name in missing]


def is_bounded(name: str, counts: dict[str, int]) -> bool:
    compile_name, _, stage = name.partition(": ")
    return not stage or counts[name] >= SMALL_STAGE * counts[compile_name]


def round_up(value: float) -> int:
    """To three digits."""
    step = 10 ** max(0, len(str(int(value))) - 3)
    return (int(value) // step + 1) * step


def toolchain_of(probe: pathlib.Path) -> str:
    """What decides on counts beside the sources: the compiler, which is also the code generator's LLVM, and valgrind."""
    cache = next((folder / "CMakeCache.txt" for folder in probe.resolve().parents if (folder / "CMakeCache.txt").exists()), None)
    text = cache.read_text(encoding="utf-8") if cache else ""
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", text, re.MULTILINE)
    build = re.search(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", text, re.MULTILINE)

    def version(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+\.\d+", done.stdout)
        return found.group() if found else "?"

    names = [f"{pathlib.Path(compiler.group(1)).name if compiler else 'c++'} {version(compiler.group(1), '--version') if compiler else '?'}"]
    names += [build.group(1) if build else "?", f"valgrind {version('valgrind', '--version')}"]
    return ", ".join(names)


if __name__ == "__main__":
    sys.exit(main())
