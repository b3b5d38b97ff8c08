"""What the cases come to: geometric means beside the goals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable


@dataclasses.dataclass
class Goal:
    what: str
    goal: str
    reached: str
    met: bool | None  # None: not measured


def geometric_mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def goals(results: list[dict], latency: dict[str, float]) -> list[Goal]:
    """results: as __main__.measure makes them."""
    prefill = [r for r in results if r["group"] not in ("decode", "tiny")]

    def ratios(of: list[dict], peer: str) -> list[float]:
        return [r["ratios"][peer]["median"] for r in of if peer in r["ratios"]]

    plain = [r for r in prefill if r["mask"] in ("dense", "causal") and r["kv_len"] >= 512]
    window = [r for r in prefill if r["mask"] == "window 1024" and r["kv_len"] == 16384]
    dense = [r for r in prefill if r["mask"] == "dense" and r["kv_len"] >= 2048]

    def shares(of: list[dict]) -> list[float]:
        return [r["contestants"]["maskjit"]["share_of_ceiling"] for r in of]

    amx = shares([r for r in dense if r["dtype"] == "bf16" and r["dim"] == 128])
    fma = shares([r for r in dense if r["dtype"] == "f32"])
    bandwidth = shares([r for r in results if r["group"] == "decode"])
    # In the same rounds; for a head dimension of 80 beside the line between those of 64 and 128.
    cliffs = [r["cliff"] for r in results if "cliff" in r]
    tiny = [1e6 * r["overhead_seconds"] for r in results if r["group"] == "tiny"]
    return [
        _at_least("against FlexAttention, block mask for free (geometric mean)", 1.5, ratios(prefill, "FlexAttention")),
        _at_least("against FlexAttention with its block mask made (geometric mean)", 3.0, ratios(prefill, "FlexAttention + block mask")),
        _at_least("against SDPA, dense and causal (geometric mean)", 1.3, ratios(plain, "SDPA")),
        _at_least("against SDPA, dense and causal (worst case)", 1.0, ratios(plain, "SDPA"), min),
        _at_least("against SDPA, window 1024 at 16k (worst case)", 5.0, ratios(window, "SDPA"), min),
        _at_least("share of the bf16 matrix peak: dense, 2k and more, D 128 (geometric mean)", 0.4, amx, percent=True),
        _at_least("share of the f32 FMA peak: dense, 2k and more (geometric mean)", 0.7, fma, percent=True),
        _at_least("share of the copy bandwidth: decode (geometric mean)", 0.8, bandwidth, percent=True),
        _at_most("time of an active element where a length is off a tile, D 80 or strided, beside causal 1k (worst case)", 1.25, max(cliffs, default=None), ""),
        _at_most("1 to 64 rows on 64 keys: the call beside the work of such a head (worst case)", 20, max(tiny, default=None), " us"),
        _at_most("cold compile", 100, latency.get("engine, empty cache")),
        _at_most("first result of a new process, from disk", 10, latency.get("process, from disk")),
    ]


def _at_least(what: str, goal: float, values: list[float], mean=geometric_mean, percent: bool = False) -> Goal:
    def show(value: float) -> str:
        return f"{100 * value:.0f} %" if percent else f"{value:.2f}"

    values = [v for v in values if v]
    if not values:
        return Goal(what, f"at least {show(goal)}", "not measured", None)
    reached = mean(values)
    worst = "" if mean is min else f", from {show(min(values))} to {show(max(values))}"
    return Goal(what, f"at least {show(goal)}", f"{show(reached)} ({len(values)} cases{worst})", reached >= goal)


def _at_most(what: str, goal: float, value: float | None, unit: str = " ms") -> Goal:
    if value is None:
        return Goal(what, f"at most {goal:g}{unit}", "not measured", None)
    return Goal(what, f"at most {goal:g}{unit}", f"{value:.3g}{unit}", value <= goal)
