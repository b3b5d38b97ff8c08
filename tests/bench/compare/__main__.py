#!/usr/bin/env python3
"""This tree beside another commit, on this machine: ./dev bench compare COMMIT

Both builds run the same cases in turns, so that whatever else the machine does falls on both. A case counts as slower if the
median of its ratios is over the limit, and again when it is measured a second time, for longer. Then this command fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    arguments: tuple[str, ...]  # of `maskjit bench`
    path: tuple[str | int, ...]  # of the milliseconds in its JSON


def _run(name: str, *arguments: str) -> Case:
    return Case(name, (*arguments, "--json"), ("results", 0, "median_milliseconds"))


def _compile(row: str) -> Case:
    arguments = ("compile", "causal", "--dtype", "bf16", "--head-dim", "128", "--runs", "3", "--json")
    return Case(f"compile: {row}", arguments, ("median_milliseconds", row))


_SHORT = ("--seconds", "0.3")
CASES = (
    _run("dense f32 D64", "full", "--kv-len", "1024", "--heads", "4", "--head-dim", "64", *_SHORT),
    _run("causal f32 D128", "causal", "--kv-len", "1024", "--heads", "2", "--head-dim", "128", *_SHORT),
    _run("dense bf16 D128", "full", "--kv-len", "2048", "--heads", "2", "--head-dim", "128", "--dtype", "bf16", *_SHORT),
    _run("causal bf16 D64", "causal", "--kv-len", "2048", "--heads", "4", "--head-dim", "64", "--dtype", "bf16", *_SHORT),
    _run("window f32 D64", "local", "--set", "n=256", "--kv-len", "4096", "--heads", "4", "--head-dim", "64", *_SHORT),
    _run("causal f32 D80, length off by one", "causal", "--kv-len", "1025", "--heads", "2", "--head-dim", "80", *_SHORT),
    _run("64 rows", "causal", "--kv-len", "64", "--head-dim", "64", *_SHORT),
    _run("decode f32", "full", "--q-len", "1", "--kv-len", "16384", "--heads", "8", "--head-dim", "128", *_SHORT),
    _run("decode bf16", "full", "--q-len", "1", "--kv-len", "16384", "--heads", "8", "--head-dim", "128", "--dtype", "bf16", *_SHORT),
    _run("decode bf16, 32 heads on 8", "full", "--q-len", "1", "--kv-len", "16384", "--heads", "32", "--kv-heads", "8", "--head-dim", "128", "--dtype", "bf16", *_SHORT),
    _compile("engine, empty cache"),
    _compile("engine, from disk"),
    _compile("find in memory"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./dev bench compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", nargs="?", help="what to compare with")
    parser.add_argument("--limit", type=float, default=10, metavar="PERCENT", help="how much slower is too much (default: 10)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each build a case (default: 7)")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose names contain this")
    parser.add_argument("--programs", nargs=2, metavar=("BEFORE", "NOW"), help="two programs instead of a commit and this tree")
    given = parser.parse_args()
    if (given.commit is None) == (given.programs is None):
        parser.error("a COMMIT is needed, or --programs")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    cases = [case for case in CASES if re.search(given.only, case.name)]
    if not cases:
        parser.error(f"no case has a name with {given.only!r}; there are: {', '.join(case.name for case in CASES)}")
    programs = given.programs or [build_commit(given.commit), build_tree()]
    slower = compare(programs, cases, given.rounds, 1 + given.limit / 100)
    if slower:
        print("\nonce more, for longer:")
        slower = compare(programs, slower, 2 * given.rounds, 1 + given.limit / 100)
    if slower:
        print(f"\nover {given.limit:g} % slower: {', '.join(case.name for case in slower)}")
        return 1
    print(f"\nnothing is over {given.limit:g} % slower")
    return 0


def compare(programs: list[str], cases: list[Case], rounds: int, limit: float) -> list[Case]:
    """Prints a line for each case; those whose median ratio is over the limit."""
    slower = []
    print(f"{'':36} {'before':>10} {'now':>10} {'now / before':>13}")
    for case in cases:
        times = race(programs, case, rounds)
        if times is None:
            print(f"{case.name:36} left out: {programs[0]} cannot run it")
            continue
        before, now = times
        ratios = sorted(b / a for a, b in zip(before, now, strict=True))
        ratio = statistics.median(ratios)
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(
            f"{case.name:36} {_time(statistics.median(before)):>10} {_time(statistics.median(now)):>10} {ratio:6.3f} "
            f"({low:.2f}-{high:.2f}){' SLOWER' if ratio > limit else ''}",
            flush=True,
        )
        if ratio > limit:
            slower.append(case)
    return slower


def race(programs: list[str], case: Case, rounds: int) -> tuple[list[float], list[float]] | None:
    """Milliseconds of both, a pair for each round; None if the first one does not know how to."""
    times: tuple[list[float], list[float]] = ([], [])
    for round in range(rounds):
        for which in (0, 1) if round % 2 == 0 else (1, 0):
            milliseconds = measure(programs[which], case)
            if milliseconds is None and which == 0:
                return None
            if milliseconds is None:
                sys.exit(f"{case.name}: {programs[which]} bench {' '.join(case.arguments)} failed")
            times[which].append(milliseconds)
    return times


def measure(program: str, case: Case) -> float | None:
    environment = {**os.environ, "MASKJIT_CACHE": "off"}
    done = subprocess.run([program, "bench", *case.arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        return None
    value = json.loads(done.stdout)
    for step in case.path:
        value = value[step]
    return float(value)


def build_tree() -> str:
    run("cmake", "--preset", "release", title="configuring this tree")
    run("cmake", "--build", "--preset", "release", "--target", "maskjit", title="building this tree")
    return str(ROOT / "build/release/bin/maskjit")


def build_commit(commit: str) -> str:
    """In a worktree below build/, which stays for the next time."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--short=12", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        sys.exit(f"there is no commit {commit}: {found.stderr.strip()}")
    name = found.stdout.strip()
    tree = ROOT / "build" / "compare" / name
    if not tree.exists():
        run("git", "worktree", "prune", title="forgetting worktrees that are gone")
        run("git", "worktree", "add", "--detach", str(tree), name, title=f"checking out {name}")
    run("cmake", "--preset", "release", title=f"configuring {name}", folder=tree)
    run("cmake", "--build", "--preset", "release", "--target", "maskjit", title=f"building {name}", folder=tree)
    return str(tree / "build/release/bin/maskjit")


def run(*command: str, title: str, folder: pathlib.Path = ROOT) -> None:
    print(f"{title} ...", flush=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def _time(milliseconds: float) -> str:
    return f"{milliseconds * 1e3:.3g} us" if milliseconds < 1 else f"{milliseconds:.3g} ms"


if __name__ == "__main__":
    sys.exit(main())
