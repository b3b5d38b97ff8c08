"""The table in the README: geometric means by mask, between two comment lines that name the command."""

from __future__ import annotations

import pathlib

from summary import geometric_mean

BEGIN, END = "<!-- ./dev bench cpu --readme -->\n", "<!-- end -->\n"
PEERS = {"SDPA": "SDPA", "FlexAttention": "FlexAttention", "FlexAttention + block mask": "with its block mask made"}


def table(data: dict, page: str) -> str:
    threads = max(int(t) for t in data["ceilings"])
    results = [r for r in data["results"] if r["threads"] == threads]
    masks = [r for r in results if r["group"] == "masks"]
    rows = {name: [r for r in masks if r["mask"] == name] for name in dict.fromkeys(r["mask"] for r in masks)}
    rows["decode, one query"] = [r for r in results if r["group"] == "decode"]
    lines = ["| times as fast as | keys | " + " | ".join(PEERS.values()) + " |", "|---" * (len(PEERS) + 2) + "|"]
    for name, of in rows.items():
        cells = [_mean([r["ratios"][peer]["median"] for r in of if peer in r["ratios"]]) for peer in PEERS]
        lengths = ", ".join(_thousands(length) for length in sorted({r["kv_len"] for r in of}))
        lines.append(f"| {name} | {lengths} | " + " | ".join(cells) + " |")
    return (
        "\n".join(lines)
        + f"\n\nGeometric means over these numbers of keys, f32 and bf16, on {threads} threads ("
        + f"{data['machine']['cpu']}), beside torch {data['torch']}: [every case]({page}).\n"
    )


def _thousands(length: int) -> str:
    return f"{length // 1024}k" if length % 1024 == 0 else str(length)


def _mean(values: list[float]) -> str:
    return f"{geometric_mean(values):.1f}" if values else "-"


def update(path: pathlib.Path, text: str) -> None:
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no lines {BEGIN.strip()} and {END.strip()}")
    path.write_text(before + begin + text + end + after, encoding="utf-8")
