"""Several runs on one page: some take an hour, and a machine is not quiet for as long."""

from __future__ import annotations

import json
import pathlib

from summary import goals

#: What a run has of its own on a page of several.
OF_A_RUN = ("date", "command", "commit", "ceilings", "latency", "minutes")


def read(path: pathlib.Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def merged(runs: list[dict]) -> dict:
    """Of a case that several runs have, the last one's figures."""
    if len(runs) == 1:
        return runs[0]
    for what, found in (("torch", {run["torch"] for run in runs}), ("CPU", {run["machine"]["cpu"] for run in runs})):
        if len(found) > 1:
            raise SystemExit(f"the runs have not the same {what}: {', '.join(sorted(found))}")
    results, left_out = {}, {}
    for run in runs:
        measured = tuple(_name(r) for r in run["results"])
        left_out = {name: why for name, why in left_out.items() if not name.startswith(measured)} | run["left_out"]
        results.update({_name(r): r for r in run["results"]})
    data = {**runs[-1], "left_out": left_out, "results": list(results.values())}
    data["runs"] = [part for run in runs for part in of(run)]
    data["goals"] = [vars(goal) for goal in goals(data["results"], slowest_compile(data["latency"]))]
    return data


def of(data: dict) -> list[dict]:
    """The runs of a page; what was not merged is its only one."""
    return data.get("runs") or [{"load": data["machine"]["load"], **{name: data[name] for name in OF_A_RUN}}]


def slowest_compile(latency: dict[str, dict[str, float]]) -> dict[str, float]:
    return max(latency.values(), key=lambda of: of.get("engine, empty cache", 0), default={})


def _name(result: dict) -> str:
    return f"{result['name']}, {result['threads']} threads"
