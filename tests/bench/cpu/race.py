"""Interleaved runs: one of each contestant after the other, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import os
import statistics
import time
from collections.abc import Callable

SHORTEST_SAMPLE = 2e-3  # shorter calls are timed several at a time
FEWEST_ROUNDS, MOST_ROUNDS = 5, 300
STOLEN = 0.02  # of the processors' time: rounds in which the host gave others more do not count
LONGEST = 3  # times as long as asked for, while such rounds come
WARMED = 0.1  # calls shorter than this follow an untimed one: what comes between them leaves caches cold


@dataclasses.dataclass
class Round:
    """What the machine could do right before and right after one of the calls."""

    ceiling: float
    undisturbed: bool
    #: Of the processors' time, which the host gave to others.
    stolen: float = 0.0


def race(
    calls: dict[str, Callable[[], object]], seconds: float, look: Callable[[], tuple[float, bool]], beside: str
) -> tuple[dict[str, list[float]], list[Round]]:
    """Seconds of a call, one number a round for each; rounds go on for about `seconds`, at least five. `look` gives a rate of the
    machine and whether nobody else disturbed it, and is asked before and after each call of `beside`. Of rounds in which the host took
    processors away, no more are kept than make five."""
    once = {name: min(_timed(call, 1) for _ in range(2)) for name, call in calls.items()}
    repeat = {name: max(1, int(SHORTEST_SAMPLE / max(seconds, 1e-7))) for name, seconds in once.items()}
    order, times, rounds = list(calls), {name: [] for name in calls}, []
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for round in range(MOST_ROUNDS):
            elapsed, kept = time.perf_counter() - started, sum(r.stolen <= STOLEN for r in rounds)
            if round >= FEWEST_ROUNDS and elapsed > (seconds if kept >= FEWEST_ROUNDS else LONGEST * seconds):
                break
            round_started, stolen = time.perf_counter(), _stolen_seconds()
            for i in range(len(order)):
                name = order[(round + i) % len(order)]
                before = look() if name == beside else None
                if once[name] < WARMED:
                    calls[name]()
                times[name].append(_timed(calls[name], repeat[name]))
                if before:
                    after = look()
                    rounds.append(Round((before[0] + after[0]) / 2, before[1] and after[1]))
            available = (time.perf_counter() - round_started) * (os.cpu_count() or 1)
            rounds[-1].stolen = (_stolen_seconds() - stolen) / available
    finally:
        gc.enable()
    most = max(STOLEN, sorted(r.stolen for r in rounds)[FEWEST_ROUNDS - 1])
    kept = [i for i, r in enumerate(rounds) if r.stolen <= most]
    return {name: [of[i] for i in kept] for name, of in times.items()}, [rounds[i] for i in kept]


def _stolen_seconds() -> float:
    """Of all processors since the machine started, in which a virtual machine's host ran something else; 0 where Linux does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            fields = stat.readline().split()
        return int(fields[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _timed(call: Callable[[], object], repeat: int) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - started) / repeat


def ratio(slower: list[float], faster: list[float]) -> dict[str, float]:
    """How often as fast `faster` is: the median over the rounds, with the quartiles."""
    ratios = sorted(a / b for a, b in zip(slower, faster, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def peak_bytes(call: Callable[[], object]) -> int | None:
    """How far a call's resident memory rises above what there was, its result included; None where Linux does not say."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
            reset.write("5")
        before = _status("VmRSS")
        result = call()
        peak = _status("VmHWM")
        del result
        return max(0, peak - before)
    except (OSError, AttributeError):
        return None


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:")) * 1024
