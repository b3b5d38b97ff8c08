"""The measurements as a Markdown page and as a picture."""

from __future__ import annotations

import pathlib
import statistics

import runs
from summary import Goal

GROUPS = {
    "masks": "Masks",
    "gqa": "Grouped heads",
    "heads": "Batches and heads (causal, 1k)",
    "decode": "Decode: one query",
    "cliffs": "Off the tile, D 80, heads beside each other in memory",
    "tiny": "A few rows",
}


def markdown(data: dict, goals: list[Goal], picture: str | None) -> str:
    machine = data["machine"]
    lines = [
        f"# maskjit beside torch on the CPU, {data['date']}",
        "",
        *(f"- `{run['command']}` at commit {run['commit']}, load before it {run['load']}" for run in runs.of(data)),
        "",
        f"{machine['cpu']} ({', '.join(machine['features'])}), {machine['cpus']} CPUs; torch {data['torch']}, maskjit {data['maskjit']}.",
        "",
        "Medians of interleaved runs in one process, on the same tensors and threads. A peer's column has its time and how often as",
        "fast maskjit is (median of the rounds, quartiles in brackets). Block masks are given to FlexAttention for free; making one and",
        "the first call, which compiles, stand beside it. FLOP/s count the active elements of the mask. Calls of less than a tenth of a",
        "second follow an untimed one; rounds in which the host took processors away count only where no five others are. Shares are",
        "of what the same threads did in registers (or copying, for decoding, memory of the same kind as the operands') right before and",
        "after each call: medians over the rounds, in brackets over those in which the first-level caches gave what they gave at best,",
        "so that no other guest of the machine shared a core. Between cases, run by run:",
        "",
        "| threads | f32 FMA | bf16 " + (machine["bf16_unit"] or "(no unit)") + " | copy (read + written) | read |",
        "|---|---|---|---|---|",
    ]
    for run in runs.of(data):
        for threads, ceilings in run["ceilings"].items():
            lines.append(f"| {threads} | " + " | ".join(_ceiling(ceilings, name) for name in ("f32", "bf16", "copy", "read")) + " |")
    lines += ["", _stolen(data)]
    if picture:
        lines += ["", f"![How often as fast as its peers]({picture})"]
    lines += ["", "| | goal | reached | |", "|---|---|---|---|"]
    for goal in goals:
        lines.append(f"| {goal.what} | {goal.goal} | {goal.reached} | {_mark(goal)} |")
    if data["latency"]:
        lines += ["", "`maskjit bench compile`, medians in milliseconds:", "", "| | " + " | ".join(data["latency"]) + " |"]
        rows = list(next(iter(data["latency"].values())))
        lines.append("|---" * (len(data["latency"]) + 1) + "|")
        for row in rows:
            lines.append(f"| {row} | " + " | ".join(f"{of[row]:.3g}" for of in data["latency"].values()) + " |")
    for group, title in GROUPS.items():
        for threads in data["ceilings"]:
            found = [r for r in data["results"] if r["group"] == group and str(r["threads"]) == str(threads)]
            if found:
                lines += ["", f"## {title}, {threads} {'thread' if str(threads) == '1' else 'threads'}", "", *_table(found, group)]
    if data["left_out"]:
        lines += ["", "## Left out", "", *(f"- {name}: {reason}" for name, reason in data["left_out"].items())]
    return "\n".join(lines) + "\n"


def _stolen(data: dict) -> str:
    """What a virtual machine's host kept from the rounds that count."""
    parts = []
    for threads in data["ceilings"]:
        of = [r["ceiling"].get("stolen_share", 0.0) for r in data["results"] if str(r["threads"]) == str(threads)]
        if of:
            unit = "thread" if str(threads) == "1" else "threads"
            parts.append(f"{100 * statistics.median(of):.0f} % on {threads} {unit} (most {100 * max(of):.0f} %)")
    return f"Of the processors' time the host gave others, median of the cases: {', '.join(parts)}."


def _mark(goal: Goal) -> str:
    return {True: "met", False: "missed", None: ""}[goal.met]


def _ceiling(ceilings: dict, name: str) -> str:
    if name not in ceilings:
        return "-"
    unit, scale = ("GB/s", 1e9) if name in ("copy", "read") else ("GFLOP/s", 1e9)
    of = ceilings[name]
    return f"{of['median'] / scale:.0f} {unit} ({of['lowest'] / scale:.0f} to {of['highest'] / scale:.0f})"


def _table(results: list[dict], group: str) -> list[str]:
    last = "of copy" if group == "decode" else "of peak"
    lines = [
        f"| case | maskjit | GFLOP/s | {last} | SDPA | FlexAttention | block mask | its first call | MB: maskjit, SDPA, Flex |",
        "|---" * 9 + "|",
    ]
    for r in results:
        own = r["contestants"]["maskjit"]
        flex = r["contestants"].get("FlexAttention", {})
        cells = [
            r["name"],
            _time(own["median_seconds"]),
            f"{own['flops'] / 1e9:.0f}",
            _shares(own),
            _peer(r, "SDPA"),
            _peer(r, "FlexAttention"),
            _time(flex["block_mask_seconds"]) if flex.get("block_mask_seconds") else "-",
            f"{flex['first_call_seconds']:.1f} s" if flex else "-",
            ", ".join(_megabytes(r["contestants"].get(name)) for name in ("maskjit", "SDPA", "FlexAttention")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _shares(of: dict) -> str:
    everywhere, undisturbed = (f"{100 * of[name]:.0f} %" if of[name] else "" for name in ("share_of_ceiling", "share_of_ceiling_undisturbed"))
    return f"{everywhere or '-'} ({undisturbed})" if undisturbed else everywhere or "-"


def _peer(result: dict, name: str) -> str:
    if name not in result["ratios"]:
        return "-"
    ratio = result["ratios"][name]
    return f"{_time(result['contestants'][name]['median_seconds'])}: **{ratio['median']:.2f}** ({ratio['low']:.2f}-{ratio['high']:.2f})"


def _megabytes(of: dict | None) -> str:
    return "-" if not of or of["peak_bytes"] is None else f"{of['peak_bytes'] / 2**20:.0f}"


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def picture(data: dict, path: pathlib.Path) -> None:
    """Ratios by mask and length. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    threads = max(int(t) for t in data["ceilings"])
    results = [r for r in data["results"] if r["group"] == "masks" and r["threads"] == threads]
    masks = list(dict.fromkeys(r["mask"] for r in results))
    peers = [p for p in ("SDPA", "FlexAttention", "FlexAttention + block mask") if any(p in r["ratios"] for r in results)]
    lengths = sorted({r["kv_len"] for r in results})
    figure, axes = plt.subplots(
        1, max(1, len(peers)), figsize=(4.6 * max(1, len(peers)), 1.2 + 0.42 * len(masks)), sharey=True, squeeze=False
    )
    colours = plt.get_cmap("viridis")
    for axis, peer in zip(axes[0], peers, strict=False):
        for dtype, marker in (("f32", "o"), ("bf16", "s")):
            for i, length in enumerate(lengths):
                points = [
                    (r["ratios"][peer]["median"], masks.index(r["mask"]))
                    for r in results
                    if peer in r["ratios"] and r["kv_len"] == length and r["dtype"] == dtype
                ]
                if points:
                    offset = 0.12 if dtype == "bf16" else -0.12
                    axis.scatter(
                        [x for x, _ in points],
                        [y + offset for _, y in points],
                        marker=marker,
                        s=26,
                        color=colours(i / max(1, len(lengths) - 1)),
                        label=f"{dtype}, {length}",
                    )
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_title(f"against {peer}", fontsize=10)
        axis.set_xlabel("times as fast")
        axis.grid(axis="x", which="both", linewidth=0.3)
    axes[0][0].set_yticks(range(len(masks)), masks)
    axes[0][0].set_ylim(len(masks) - 0.5, -0.5)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", fontsize=7, title=f"{threads} thread{'s' if threads > 1 else ''}", title_fontsize=8)
    figure.tight_layout(rect=(0, 0, 0.9, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
