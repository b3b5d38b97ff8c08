"""Interleaved runs: one of each contestant after the other, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import statistics
import time
from collections.abc import Callable

SHORTEST_SAMPLE = 2e-3  # shorter calls are timed several at a time
FEWEST_ROUNDS, MOST_ROUNDS = 5, 300


@dataclasses.dataclass(frozen=True)
class Round:
    """What the machine could do right before and right after one of the calls."""

    ceiling: float
    undisturbed: bool


def race(
    calls: dict[str, Callable[[], object]], seconds: float, look: Callable[[], tuple[float, bool]], beside: str
) -> tuple[dict[str, list[float]], list[Round]]:
    """Seconds of a call, one number a round for each; rounds go on for about `seconds`, at least five. `look` gives a rate of the
    machine and whether nobody else disturbed it, and is asked before and after each call of `beside`."""
    repeat = {}
    for name, call in calls.items():
        once = min(_timed(call, 1) for _ in range(2))
        repeat[name] = max(1, int(SHORTEST_SAMPLE / max(once, 1e-7)))
    order, times, rounds = list(calls), {name: [] for name in calls}, []
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for round in range(MOST_ROUNDS):
            if round >= FEWEST_ROUNDS and time.perf_counter() - started > seconds:
                break
            for i in range(len(order)):
                name = order[(round + i) % len(order)]
                before = look() if name == beside else None
                times[name].append(_timed(calls[name], repeat[name]))
                if before:
                    after = look()
                    rounds.append(Round((before[0] + after[0]) / 2, before[1] and after[1]))
    finally:
        gc.enable()
    return times, rounds


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
