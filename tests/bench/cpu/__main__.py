#!/usr/bin/env python3
"""maskjit, torch's scaled_dot_product_attention and FlexAttention side by side on the CPU: ./dev bench cpu"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

# First calls compile in this run, not in an earlier one.
_inductor_cache = tempfile.TemporaryDirectory(prefix="inductor-")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = _inductor_cache.name
os.environ.setdefault("MASKJIT_CACHE", "off")

import torch

import maskjit
import readme
import runs
from cases import Case, all_cases
from machine import Ceilings, Machine, cpu_features, cpu_name
from peers import Contestant, enter_flex, enter_maskjit, enter_sdpa, start_compiler
from race import FEWEST_ROUNDS, Round, peak_bytes, race, ratio
from report import markdown, picture
from summary import Goal, goals

ROOT = pathlib.Path(__file__).resolve().parents[3]
MANY_HEADS = 33
#: Relative to the peers, by norm; a contestant further off is left out.
TOLERANCE = {"f32": 1e-4, "bf16": 3e-2}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench cpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few small cases, in under two minutes")
    parser.add_argument("--threads", help="numbers of threads (default: 1,2; 2 with --quick)")
    parser.add_argument("--only", metavar="REGEX", default="", help="cases whose names contain this")
    parser.add_argument("--peers", default="sdpa,flex", help="what to run beside maskjit (default: sdpa,flex)")
    parser.add_argument("--minutes", type=float, help="leave out the cases that come after so long")
    parser.add_argument("--seconds", type=float, help="of interleaved runs a case (default: 3; 0.3 with --quick)")
    parser.add_argument("--output", type=pathlib.Path, help="PREFIX of the .json, .md and .png (default: docs/measurements/DATE-cpu-peers)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="build folder")
    parser.add_argument("--readme", action="store_true", help="put the summary into README.md")
    parser.add_argument(
        "--data", type=pathlib.Path, nargs="+", help="measure nothing: make the page (and --readme) of these .json; later ones' cases count"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    given = parser.parse_args()
    given.threads = given.threads or ("2" if given.quick else "1,2")
    return given


def chosen(given: argparse.Namespace) -> list[Case]:
    return [case for case in all_cases() if (case.quick or not given.quick) and re.search(given.only, case.name)]


def enter(case: Case, peers: list[str], quick: bool) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants that agree on the case's result, and why the others do not take part."""
    operands, tensors, refused = case.operands(), case.mask.tensors(case), {}
    own, expected = enter_maskjit(case, operands, tensors)
    contestants = [own]
    for name, make in (
        ("sdpa", lambda: enter_sdpa(case, operands, tensors)),
        ("flex", lambda: enter_flex(case, operands, tensors, compiled_block_mask=not quick)),
    ):
        if name not in peers or (name == "sdpa" and not case.mask.sdpa):
            continue
        try:
            contestant, output = make()
        except Exception as error:  # a peer that cannot run a case is not a reason to stop
            refused[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"
            continue
        difference = ((output.float() - expected.float()).norm() / expected.float().norm()).item()
        if not difference <= TOLERANCE[case.dtype]:
            refused[name] = f"differs from maskjit by {difference:.2g}"
            continue
        contestants.append(contestant)
    return contestants, refused


def measure(case: Case, threads: int, machine: Machine, given: argparse.Namespace) -> tuple[dict, dict[str, str]]:
    contestants, refused = enter(case, given.peers.split(","), given.quick)
    kind = "copy" if case.group == "decode" else case.dtype
    calls = {c.name: c.call for c in contestants}
    smooth = {dim: dataclasses.replace(case, q_len=1024, kv_len=1024, dim=dim, strided=False) for dim in _smooth_dims(case)}
    for dim, of in smooth.items():
        calls[f"smooth D{dim}"] = enter_maskjit(of, of.operands(), of.mask.tensors(of))[0].call
    if case.group == "tiny":
        many = dataclasses.replace(case, heads=MANY_HEADS, kv_heads=MANY_HEADS)
        calls["many heads"] = enter_maskjit(many, many.operands(), {})[0].call
    times, rounds = race(
        calls,
        given.seconds or (0.3 if given.quick else 3.0),
        lambda: machine.look(kind, threads),
        beside="maskjit",
    )
    ceilings = [r.ceiling for r in rounds]
    elements = case.active_elements()
    flops = 4 * case.dim * case.batch * case.heads * elements
    work = case.bytes() if kind == "copy" else flops
    result = {
        "name": case.name,
        "group": case.group,
        "mask": case.mask.name,
        "batch": case.batch,
        "heads": case.heads,
        "kv_heads": case.kv_heads,
        "q_len": case.q_len,
        "kv_len": case.kv_len,
        "dim": case.dim,
        "dtype": case.dtype,
        "threads": threads,
        "active_share": elements / (case.q_len * case.kv_len),
        "flop": flops,
        "bytes": case.bytes(),
        "ceiling": {
            "of": kind,
            "median": statistics.median(ceilings),
            "lowest": min(ceilings),
            "highest": max(ceilings),
            "undisturbed_rounds": sum(r.undisturbed for r in rounds),
            "stolen_share": statistics.median(r.stolen for r in rounds),
        },
        "contestants": {},
        "ratios": {},
    }
    if case.group == "tiny":
        # A call without the work of a head: what one more of many takes of all threads' time.
        pairs = zip(times["maskjit"], times["many heads"], strict=True)
        result["overhead_seconds"] = statistics.median(one - threads * (many - one) / (MANY_HEADS - 1) for one, many in pairs)
    if smooth:
        expected = [_on_the_line(case.dim, dict(zip(smooth, of))) for of in zip(*(times[f"smooth D{dim}"] for dim in smooth))]
        shares = elements / next(iter(smooth.values())).active_elements()
        result["cliff"] = statistics.median(t / (of * shares) for t, of in zip(times["maskjit"], expected, strict=True))
    for contestant in contestants:
        of = sorted(times[contestant.name])
        seconds = of[len(of) // 2]
        result["contestants"][contestant.name] = {
            "median_seconds": seconds,
            "fastest_seconds": of[0],
            "slowest_seconds": of[-1],
            "rounds": len(of),
            "flops": flops / seconds,
            "bytes_per_second": case.bytes() / seconds,
            "share_of_ceiling": _share(work, times[contestant.name], rounds),
            "share_of_ceiling_undisturbed": _share(work, times[contestant.name], rounds, undisturbed=True),
            "peak_bytes": peak_bytes(contestant.call),
            "first_call_seconds": contestant.first_call_seconds,
            "block_mask_seconds": contestant.block_mask_seconds,
            "block_mask_way": contestant.block_mask_way,
        }
        if contestant.name != "maskjit":
            result["ratios"][contestant.name] = ratio(times[contestant.name], times["maskjit"])
        if contestant.block_mask_seconds:
            counted = [t + contestant.block_mask_seconds for t in times[contestant.name]]
            result["ratios"]["FlexAttention + block mask"] = ratio(counted, times["maskjit"])
    return result, refused


def _smooth_dims(case: Case) -> tuple[int, ...]:
    """Head dimensions of causal 1k, beside which a case off the tile stands."""
    if case.group != "cliffs":
        return ()
    return (case.dim,) if case.dim in (64, 128) else (64, 128)


def _on_the_line(dim: int, of: dict[int, float]) -> float:
    """What a head dimension takes if the time grows evenly between those of `of`."""
    return of[dim] if dim in of else of[64] + (of[128] - of[64]) * (dim - 64) / 64


def _share(work: float, seconds: list[float], rounds: list[Round], undisturbed: bool = False) -> float | None:
    """Of what the machine could do in the same round: the median over the rounds, at least five of them."""
    shares = [
        work / t / r.ceiling for t, r in zip(seconds, rounds, strict=True) if r.ceiling and (r.undisturbed or not undisturbed)
    ]
    return statistics.median(shares) if len(shares) >= FEWEST_ROUNDS else None


def compile_latency(program: pathlib.Path) -> dict[str, dict[str, float]]:
    """Median milliseconds of `maskjit bench compile`."""
    if not program.exists():
        return {}
    latency = {}
    for name, arguments in (
        ("causal bf16 D128", ["causal", "--dtype", "bf16", "--head-dim", "128"]),
        ("window f32 D64", ["local", "--set", "n=1024", "--dtype", "f32", "--head-dim", "64"]),
    ):
        command = [str(program), "bench", "compile", *arguments, "--runs", "5", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            latency[name] = json.loads(done.stdout)["median_milliseconds"]
        else:
            print(f"maskjit bench compile failed: {done.stderr.strip()}", file=sys.stderr)
    return latency


def line(result: dict) -> str:
    own = result["contestants"]["maskjit"]
    peers = "".join(
        f"  {name} {of['median']:5.2f}x ({of['low']:.2f}-{of['high']:.2f})" for name, of in result["ratios"].items()
    )
    return f"{own['median_seconds'] * 1e3:9.3f} ms {own['flops'] / 1e9:6.0f} GFLOP/s{peers}"


def main() -> int:
    given = options()
    if given.data:
        data = runs.merged([runs.read(path) for path in given.data])
        prefix = given.output or given.data[0].with_suffix("")
        return publish(data, [Goal(**goal) for goal in data["goals"]], prefix, given.readme)
    cases = chosen(given)
    if given.list or not cases:
        print("\n".join(case.name for case in cases) or "no case has such a name")
        return 0 if cases else 1
    torch._dynamo.config.recompile_limit = 1024
    machine = Machine(given.build / "tests" / "bench" / "cpu" / "libbench_machine.so")
    load = " ".join(f"{x:.2f}" for x in os.getloadavg())
    if "flex" in given.peers:
        start_compiler()
    started, commit, results, left_out = time.perf_counter(), _commit(), [], {}
    ceilings = {int(threads): Ceilings(int(threads)) for threads in given.threads.split(",")}
    probe = 0.2 if given.quick else 0.5

    def probe_all() -> None:
        for of in ceilings.values():
            machine.sample(of, probe)

    print(f"{cpu_name()}, load {load}; {len(cases)} cases, threads {given.threads}", flush=True)
    with torch.inference_mode():
        for i, case in enumerate(cases):
            if i % 12 == 0:
                probe_all()
            for threads in ceilings:
                name = f"{case.name}, {threads} threads"
                if given.minutes and time.perf_counter() - started > 60 * given.minutes:
                    left_out[name] = f"after {given.minutes:g} minutes"
                    continue
                torch.set_num_threads(threads)
                result, refused = measure(case, threads, machine, given)
                left_out.update({f"{name}, {peer}": reason for peer, reason in refused.items()})
                results.append(result)
                print(f"{case.name:36} {threads}t {line(result)}", flush=True)
                for peer, reason in refused.items():
                    print(f"{'':38} without {peer}: {reason}", flush=True)
    probe_all()
    latency = compile_latency(given.build / "bin" / "maskjit")
    reached = goals(results, runs.slowest_compile(latency))
    data = {
        "date": datetime.date.today().isoformat(),
        "command": _command(given),
        "commit": commit,
        "torch": torch.__version__,
        "maskjit": maskjit.__version__,
        "minutes": (time.perf_counter() - started) / 60,
        "machine": {
            "cpu": cpu_name(),
            "features": cpu_features(),
            "cpus": len(os.sched_getaffinity(0)),
            "bf16_unit": machine.bf16_unit,
            "load": load,
        },
        "ceilings": {str(threads): of.to_json() for threads, of in ceilings.items()},
        "latency": latency,
        "goals": [vars(goal) for goal in reached],
        "left_out": left_out,
        "results": results,
    }
    return publish(data, reached, given.output or ROOT / "docs" / "measurements" / f"{data['date']}-cpu-peers", given.readme)


def publish(data: dict, reached: list[Goal], prefix: pathlib.Path, in_readme: bool) -> int:
    write(data, reached, prefix)
    if in_readme:
        readme.update(ROOT / "README.md", readme.table(data, f"{prefix.resolve().relative_to(ROOT)}.md"))
    print()
    for goal in reached:
        print(f"{goal.what}: {goal.reached}; goal: {goal.goal}")
    return 0


def write(data: dict, reached: list, prefix: pathlib.Path) -> None:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    drawn: pathlib.Path | None = prefix.with_name(f"{prefix.name}.png")
    try:
        picture(data, drawn)
    except ImportError:
        print("no picture: matplotlib is not installed (tests/bench/requirements.txt)", file=sys.stderr)
        drawn = None
    page = markdown(data, reached, drawn and drawn.name)
    prefix.with_name(f"{prefix.name}.md").write_text(page, encoding="utf-8")
    print(f"written: {prefix}.json, .md{', .png' if drawn else ''}")


def _command(given: argparse.Namespace) -> str:
    """Without the folders of this machine."""
    words = ["./dev", "bench", "cpu", *(["--quick"] if given.quick else []), "--threads", given.threads]
    for name in ("only", "minutes", "seconds"):
        if getattr(given, name):
            words += [f"--{name}", str(getattr(given, name))]
    return shlex.join(words + (["--peers", given.peers] if given.peers != "sdpa,flex" else []))


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
